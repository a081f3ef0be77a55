"""`bridge doctor`: one credential or request, examined with the service's own parts."""
