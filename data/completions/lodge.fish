# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion of lodge(1) for fish: lodge itself knows the words.
function __lodge_complete
    set -l words (commandline -opc) (commandline -ct)
    for line in (lodge complete -- $words[2..-1] 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path (commandline -ct)
            case :nospace
            case '*'
                echo $line
        end
    end
end
complete -c lodge -f -a '(__lodge_complete)'
