# Completion of capp in bash. The commands and their options come from the help of the installed command.
_capp() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} known
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        known=$("${COMP_WORDS[0]}" --help 2>/dev/null | sed -n "s/^  \([a-z]*\)  .*/\1/p")
    elif [[ $word == -* ]]; then
        known=$("${COMP_WORDS[0]}" "$command" --help 2>/dev/null | grep -o '^  .*' | grep -oE -- '^ +(-[a-zA-Z], )?--[a-z-]+' |
            grep -oE -- '--[a-z-]+')
    else
        return
    fi
    mapfile -t COMPREPLY < <(compgen -W "$known" -- "$word")
}
complete -o default -F _capp capp
