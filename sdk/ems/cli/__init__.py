"""The commands of `emsctl`: one file a command, imported when it is called."""
