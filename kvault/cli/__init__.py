"""The command line: parse, call one verb of the vault, render. Importing it loads neither the database nor torch."""
