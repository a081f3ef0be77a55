"""The operators' console: pages on a listener of their own, which show what is and take a few decisions.

Each page is a module with a `SECTION` and a template of its own; `contents` lists them. Who may come in is settled
before any page is asked (`application`).
"""
