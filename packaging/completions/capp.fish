# Completion of capp in fish, from the installed command.
capp completion fish | source
