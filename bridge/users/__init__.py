"""Who is signed in: the sources that say who a person is, the ids that tokens call them by, and their sessions."""
