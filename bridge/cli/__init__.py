"""The `bridge` command: a package for each command that has several modules, a module for each of the others."""
