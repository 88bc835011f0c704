# Completion of capp in bash, from the installed command.
source <(capp completion bash)
