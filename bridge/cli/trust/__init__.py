"""`bridge trust`: what is trusted and how it stands, adding to it, and what rests on an authority."""
