"""One small file for each thing that is looked for as time passes."""
