"""Views as text: what the command line prints and the demonstration tells."""
