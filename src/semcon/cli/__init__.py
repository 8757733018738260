"""The command line: a thin skin over `semcon.recipes`, one file a command. Data on stdout, the rest on stderr."""
