# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pigeon_global_optspecs
    string join \n config= json as= h/help V/version
end

function __fish_pigeon_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pigeon_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pigeon_using_subcommand
    set -l cmd (__fish_pigeon_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pigeon -n "__fish_pigeon_needs_command" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_needs_command" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_needs_command" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_needs_command" -s V -l version -d 'Print version'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "init" -d 'Make a configuration and an empty directory'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "check" -d 'Check the configuration and everything that it names'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "try" -d 'Show it at work in a scratch directory, with nothing to configure'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "serve" -d 'Take mail from mail servers (LMTP), until stopped'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "lmtp" -d 'Speak LMTP on standard input and output, for inetd and Sendmail'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "deliver" -d 'Deliver one message from standard input (the Unix MDA interface)'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "explain" -d 'Show what happens to the mail of an address, and why'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "settings" -d 'Show and change settings'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "setting" -d 'Show and change settings'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "domain" -d 'Domains: add, list, rename, remove, …'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "account" -d 'Accounts: add, list, rename, set a password, …'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "alias" -d 'Aliases: addresses that stand for others'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "grant" -d 'Who may administer what'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "receipts" -d 'Show what became of messages'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "receipt" -d 'Show what became of messages'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "changes" -d 'Show who changed what in the directory'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "service" -d 'The delivery services and their settings'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "sieve" -d 'Sieve scripts: check and try them, keep those of accounts'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "directory" -d 'Export and import the whole directory'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "import" -d 'Take over the directory of another mail system'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "outbox" -d 'Redirects and answers on their way to the mail server'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "spam" -d 'Spam: teach the scanner'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "node" -d 'The nodes that take mail for this site'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "completions" -d 'Print the completions for a shell'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "generate" -d 'Write man pages, completions and reference pages'
complete -c pigeon -n "__fish_pigeon_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l dir -d 'Keep everything below this directory, the configuration too [default: /etc, /var and /run]' -r -f -a "(__fish_complete_directories)"
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l domain -d 'The first domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l admin -d 'An account that may administer everything; it is made, and its domain too' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l user -d 'The user that owns all mail [default as root: vmail or mail, whichever there is]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand init" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand check" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand check" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand check" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand check" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand try" -l directory -d 'What keeps the directory: for all but a file a private server is started from what is installed' -r -f -a "sqlite\t'A file; needs no server'
postgres\t'PostgreSQL'
mariadb\t'MariaDB'
ldap\t'OpenLDAP'"
complete -c pigeon -n "__fish_pigeon_using_subcommand try" -l keep -d 'Keep everything in this directory, for playing on' -r -f -a "(__fish_complete_directories)"
complete -c pigeon -n "__fish_pigeon_using_subcommand try" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand try" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand try" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand try" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand serve" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand serve" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand serve" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand serve" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand lmtp" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand lmtp" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand lmtp" -l stdio -d 'Speak on standard input and output (the only way there is)'
complete -c pigeon -n "__fish_pigeon_using_subcommand lmtp" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand lmtp" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -s d -l recipient -d 'One more recipient; may be given several times' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -s f -l sender -d 'The envelope sender; <> or nothing is the null sender' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -s a -l mailbox -d 'The detail of the sub-address: delivers to RECIPIENT+DETAIL' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -l original -d 'The recipient before aliases, for X-Original-To' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -l strip-from-line -d 'Take off an mbox "From " line at the top'
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand deliver" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand explain" -l message -d 'Walk this message through the plan; - is standard input' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand explain" -l from -d 'The sender of the message; <> is the null sender' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand explain" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand explain" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand explain" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l domain -d 'Show what is written at the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l system -d 'Show what is written at the system layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l written -d 'Only what somebody has written, without the defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l secrets -d 'Show the values of secrets too'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "show" -d 'Show what holds for an address, or what is written at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "set" -d 'Write settings at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "unset" -d 'Take settings away: nothing is said at that layer any more'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "pin" -d 'Impose settings that are written already'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "unpin" -d 'Let inner layers say otherwise again; the settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "describe" -d 'Describe settings: what they are for, what they accept, their defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l domain -d 'Show what is written at the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l system -d 'Show what is written at the system layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l written -d 'Only what somebody has written, without the defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l secrets -d 'Show the values of secrets too'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l pin -d 'Impose them on inner layers [default authority: system at the system layer, else domain]' -r -f -a "domain\t'Of a domain administrator: a domain administrator may undo it'
system\t'Of a system administrator: only a system administrator may undo it'"
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l until -d 'When the pin lapses: 2026-12-31, or a distance like 7d' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l reason -d 'Why it is pinned: shown to whoever meets the lock' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l min -d 'The smallest value that inner layers may choose' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l max -d 'The largest value that inner layers may choose' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l one-of -d 'The values that inner layers may choose from, with commas' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l range -d 'The range that is written there, not the value'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unset" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l authority -d 'With which authority [default: system at the system layer, else domain]' -r -f -a "domain\t'Of a domain administrator: a domain administrator may undo it'
system\t'Of a system administrator: only a system administrator may undo it'"
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l until -d 'When the pin lapses: 2026-12-31, or a distance like 7d' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l reason -d 'Why it is pinned: shown to whoever meets the lock' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l range -d 'The range that is written there, not the value'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l range -d 'The range that is written there, not the value'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from unpin" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from describe" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from describe" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from describe" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from describe" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show what holds for an address, or what is written at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "set" -d 'Write settings at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "unset" -d 'Take settings away: nothing is said at that layer any more'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "pin" -d 'Impose settings that are written already'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "unpin" -d 'Let inner layers say otherwise again; the settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "describe" -d 'Describe settings: what they are for, what they accept, their defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand settings; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l domain -d 'Show what is written at the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l system -d 'Show what is written at the system layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l written -d 'Only what somebody has written, without the defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l secrets -d 'Show the values of secrets too'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "show" -d 'Show what holds for an address, or what is written at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "set" -d 'Write settings at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "unset" -d 'Take settings away: nothing is said at that layer any more'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "pin" -d 'Impose settings that are written already'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "unpin" -d 'Let inner layers say otherwise again; the settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "describe" -d 'Describe settings: what they are for, what they accept, their defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and not __fish_seen_subcommand_from show set unset pin unpin describe help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l domain -d 'Show what is written at the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l system -d 'Show what is written at the system layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l written -d 'Only what somebody has written, without the defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l secrets -d 'Show the values of secrets too'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l pin -d 'Impose them on inner layers [default authority: system at the system layer, else domain]' -r -f -a "domain\t'Of a domain administrator: a domain administrator may undo it'
system\t'Of a system administrator: only a system administrator may undo it'"
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l until -d 'When the pin lapses: 2026-12-31, or a distance like 7d' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l reason -d 'Why it is pinned: shown to whoever meets the lock' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l min -d 'The smallest value that inner layers may choose' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l max -d 'The largest value that inner layers may choose' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l one-of -d 'The values that inner layers may choose from, with commas' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l range -d 'The range that is written there, not the value'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unset" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l authority -d 'With which authority [default: system at the system layer, else domain]' -r -f -a "domain\t'Of a domain administrator: a domain administrator may undo it'
system\t'Of a system administrator: only a system administrator may undo it'"
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l until -d 'When the pin lapses: 2026-12-31, or a distance like 7d' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l reason -d 'Why it is pinned: shown to whoever meets the lock' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l range -d 'The range that is written there, not the value'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from pin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l domain -d 'At the layer of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l account -d 'At the layer of this account [default with --as: one\'s own]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l system -d 'At the system layer: for everyone'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l range -d 'The range that is written there, not the value'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from unpin" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from describe" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from describe" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from describe" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from describe" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show what holds for an address, or what is written at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "set" -d 'Write settings at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "unset" -d 'Take settings away: nothing is said at that layer any more'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "pin" -d 'Impose settings that are written already'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "unpin" -d 'Let inner layers say otherwise again; the settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "describe" -d 'Describe settings: what they are for, what they accept, their defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand setting; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "add" -d 'Add domains'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "list" -d 'List the domains'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "show" -d 'Show a domain: its names, administrators and settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "rename" -d 'Give a domain another name; its mail and settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "suspend" -d 'Let mail for domains wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "resume" -d 'Take mail for suspended domains again'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "remove" -d 'Mark domains as removed; everything is kept until purge'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "purge" -d 'Delete removed domains for good, with everything in them'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "alias" -d 'Other names that mean the same domain'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and not __fish_seen_subcommand_from add list show rename suspend resume remove restore purge alias help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from add" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from add" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from add" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from list" -l removed -d 'Also those marked as removed'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from show" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from rename" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from rename" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from rename" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from rename" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from suspend" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from suspend" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from suspend" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from suspend" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from resume" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from resume" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from resume" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from remove" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from restore" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from restore" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from restore" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from purge" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from purge" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from purge" -l yes -d 'Do not ask'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from purge" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -f -a "add" -d 'Add another name for a domain'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -f -a "remove" -d 'Take another name away again'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from alias" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add domains'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the domains'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show a domain: its names, administrators and settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "rename" -d 'Give a domain another name; its mail and settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "suspend" -d 'Let mail for domains wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Take mail for suspended domains again'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Mark domains as removed; everything is kept until purge'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "purge" -d 'Delete removed domains for good, with everything in them'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "alias" -d 'Other names that mean the same domain'
complete -c pigeon -n "__fish_pigeon_using_subcommand domain; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "add" -d 'Add an account; its domain must exist'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "list" -d 'List accounts, by address'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "show" -d 'Show an account: its mailbox, roles and settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "edit" -d 'Change the person\'s name'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "password" -d 'Set the password'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "rename" -d 'Give an account another address; its mail and settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "move" -d 'Have another node keep the mailbox; mail goes on arriving meanwhile'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "suspend" -d 'Let mail for accounts wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "resume" -d 'Take mail for suspended accounts again'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "remove" -d 'Mark accounts as removed: unknown to senders, but everything is kept until purge'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "purge" -d 'Delete removed accounts for good, with their mail'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and not __fish_seen_subcommand_from add list show edit password rename move suspend resume remove restore purge help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l name -d 'The person\'s name' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l password-hash -d 'Take a hash that exists already, with its scheme: {SHA512-CRYPT}$6$…' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l scheme -d 'How the password is kept' -r -f -a "argon2id\t'A slow hash: the password comes over TLS when people log in'
scram-sha-256\t'Keys for SCRAM-SHA-256: the password never leaves the mail program of who has one that can'"
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l password -d 'Ask for a password'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l password-stdin -d 'Read the password from the first line of standard input'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l domain -d 'Only those of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l after -d 'Only those whose address sorts behind this one' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l limit -d 'At most this many' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l removed -d 'Also those marked as removed'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from show" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from edit" -l name -d 'The person\'s name' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from edit" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from edit" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from edit" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from edit" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -l password-hash -d 'Take a hash that exists already, with its scheme: {SHA512-CRYPT}$6$…' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -l scheme -d 'How the password is kept' -r -f -a "argon2id\t'A slow hash: the password comes over TLS when people log in'
scram-sha-256\t'Keys for SCRAM-SHA-256: the password never leaves the mail program of who has one that can'"
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -l password-stdin -d 'Read the password from the first line of standard input'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from password" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from rename" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from rename" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from rename" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from rename" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l to -d 'The node that keeps the mailbox from now on (see: pigeon node list)' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l mail-root -d 'Where that node\'s mail root can be reached from here' -r -f -a "(__fish_complete_directories)"
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l dry-run -d 'Only say what would be moved'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l keep-old -d 'Leave the old mailbox where it is, under another name'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from move" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from suspend" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from suspend" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from suspend" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from suspend" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from resume" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from resume" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from resume" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from remove" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from restore" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from restore" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from restore" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from purge" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from purge" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from purge" -l yes -d 'Do not ask'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from purge" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add an account; its domain must exist'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "list" -d 'List accounts, by address'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show an account: its mailbox, roles and settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "edit" -d 'Change the person\'s name'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "password" -d 'Set the password'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "rename" -d 'Give an account another address; its mail and settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "move" -d 'Have another node keep the mailbox; mail goes on arriving meanwhile'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "suspend" -d 'Let mail for accounts wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Take mail for suspended accounts again'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Mark accounts as removed: unknown to senders, but everything is kept until purge'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "purge" -d 'Delete removed accounts for good, with their mail'
complete -c pigeon -n "__fish_pigeon_using_subcommand account; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "add" -d 'Add an alias'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "set" -d 'Give an alias other targets'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "list" -d 'List aliases'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "show" -d 'Show an alias'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "rename" -d 'Give an alias another address; its targets stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "suspend" -d 'Let mail for aliases wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "resume" -d 'Take mail for suspended aliases again'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "remove" -d 'Mark aliases as removed'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "purge" -d 'Delete removed aliases for good'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and not __fish_seen_subcommand_from add set list show rename suspend resume remove restore purge help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from add" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from add" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from add" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from set" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from set" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from set" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l domain -d 'Only those of this domain' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l after -d 'Only those that sort behind this one' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l limit -d 'At most this many' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l removed -d 'Also those marked as removed'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from show" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from rename" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from rename" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from rename" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from rename" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from suspend" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from suspend" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from suspend" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from suspend" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from resume" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from resume" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from resume" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from resume" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from remove" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from restore" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from restore" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from restore" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from restore" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from purge" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from purge" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from purge" -l yes -d 'Do not ask'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from purge" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from purge" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "add" -d 'Add an alias'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "set" -d 'Give an alias other targets'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "list" -d 'List aliases'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show an alias'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "rename" -d 'Give an alias another address; its targets stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "suspend" -d 'Let mail for aliases wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "resume" -d 'Take mail for suspended aliases again'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Mark aliases as removed'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "purge" -d 'Delete removed aliases for good'
complete -c pigeon -n "__fish_pigeon_using_subcommand alias; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -f -a "add" -d 'Make an account an administrator'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -f -a "list" -d 'List who may administer what'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -f -a "remove" -d 'Take a grant back'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and not __fish_seen_subcommand_from add list remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from add" -l domain -d 'One domain and its accounts' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from add" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from add" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from add" -l system -d 'Everything'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from add" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from remove" -l domain -d 'One domain and its accounts' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from remove" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from remove" -l system -d 'Everything'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "add" -d 'Make an account an administrator'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "list" -d 'List who may administer what'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Take a grant back'
complete -c pigeon -n "__fish_pigeon_using_subcommand grant; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand receipts" -l since -d 'Only since this date, or for this long: 2026-11-23, 12h' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand receipts" -l limit -d 'At most this many' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand receipts" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand receipts" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand receipts" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand receipts" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand receipt" -l since -d 'Only since this date, or for this long: 2026-11-23, 12h' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand receipt" -l limit -d 'At most this many' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand receipt" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand receipt" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand receipt" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand receipt" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand changes" -l since -d 'Only changes behind this number [default: the last ones]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand changes" -l limit -d 'At most this many' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand changes" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand changes" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand changes" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand changes" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -f -a "list" -d 'List the services, in the order in which a message walks through them'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -f -a "describe" -d 'Describe a service: what it is for, and its settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and not __fish_seen_subcommand_from list describe help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from describe" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from describe" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from describe" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from describe" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the services, in the order in which a message walks through them'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "describe" -d 'Describe a service: what it is for, and its settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand service; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "check" -d 'Check that scripts compile; says what is wrong with them, with lines'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "test" -d 'Run scripts on a message and print as JSON what would come of it; nothing is stored, sent or remembered'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "put" -d 'Keep a script of an account, in the place of one of that name'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "get" -d 'Print a script of an account'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "list" -d 'List the scripts of an account'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "activate" -d 'Choose the script of an account that runs, or none'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "remove" -d 'Delete scripts of an account that do not run'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "rename" -d 'Give a script of an account another name; the one that runs goes on running'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and not __fish_seen_subcommand_from check test put get list activate remove rename help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from check" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from check" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from check" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from test" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from test" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from test" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from put" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from put" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from put" -l activate -d 'Have it run from now on'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from put" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from put" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from get" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from get" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from get" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from get" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from activate" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from activate" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from activate" -l none -d 'No script runs'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from activate" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from activate" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from remove" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from rename" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from rename" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from rename" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from rename" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "check" -d 'Check that scripts compile; says what is wrong with them, with lines'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "test" -d 'Run scripts on a message and print as JSON what would come of it; nothing is stored, sent or remembered'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "put" -d 'Keep a script of an account, in the place of one of that name'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "get" -d 'Print a script of an account'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the scripts of an account'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "activate" -d 'Choose the script of an account that runs, or none'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Delete scripts of an account that do not run'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "rename" -d 'Give a script of an account another name; the one that runs goes on running'
complete -c pigeon -n "__fish_pigeon_using_subcommand sieve; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -f -a "export" -d 'Write domains, accounts, aliases, grants and settings to a file'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -f -a "import" -d 'Take entries from an exported file'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -f -a "copy" -d 'Copy a directory to another backend, and see that both answer alike'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and not __fish_seen_subcommand_from export import copy help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from export" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from export" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from export" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from import" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from import" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from import" -l check -d 'Only read and check the file'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from import" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from copy" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from copy" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from copy" -l overwrite -d 'Also write to a directory that is not empty: what has the same identity is overwritten, the rest stays'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from copy" -l verify-only -d 'Only compare the two, and write nothing'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from copy" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from copy" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write domains, accounts, aliases, grants and settings to a file'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from help" -f -a "import" -d 'Take entries from an exported file'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from help" -f -a "copy" -d 'Copy a directory to another backend, and see that both answer alike'
complete -c pigeon -n "__fish_pigeon_using_subcommand directory; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -f -a "passwd-file" -d 'Users of Dovecot\'s passwd-file'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -f -a "unix" -d 'Users, aliases and forwards of a Unix system'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -f -a "postfixadmin" -d 'Domains, mailboxes, aliases and vacations of PostfixAdmin'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and not __fish_seen_subcommand_from passwd-file unix postfixadmin help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l domain -d 'The domain of users that are named without one' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l scheme -d 'The scheme of passwords without {SCHEME} [default: CRYPT]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l mail-location -d 'Dovecot\'s `mail_location`, for users without one of their own' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l write -d 'Write what was found; without it nothing is changed'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l new-mailboxes -d 'Give every account a new mailbox, even where its Maildir lies below the mail root as DOMAIN/NAME'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from passwd-file" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l domain -d 'The domain that the users and aliases belong to' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l root -d 'Read everything below this directory: another machine\'s disk, or a copy of it' -r -f -a "(__fish_complete_directories)"
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l passwd -d 'The users [default: /etc/passwd below --root]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l shadow -d 'Their passwords [default: /etc/shadow below --root, where it can be read]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l aliases -d 'The aliases [default: /etc/aliases below --root, where there is one]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l uids -d 'The user ids of people' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l mail-location -d 'Where the mail is, as Dovecot says it: `maildir:~/Maildir`' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l write -d 'Write what was found; without it nothing is changed'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l new-mailboxes -d 'Give every account a new mailbox, even where its Maildir lies below the mail root as DOMAIN/NAME'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from unix" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l password-file -d 'A file with the password of the database\'s user, in its first line' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l table-prefix -d 'What stands before the name of every table (`database_prefix`)' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l mail-base -d 'The directory that mailboxes are relative to (Postfix\'s `virtual_mailbox_base`) [default: the mail root]' -r -f -a "(__fish_complete_directories)"
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l scheme -d 'The scheme of passwords without {SCHEME}, where their form does not tell, like PLAIN' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l write -d 'Write what was found; without it nothing is changed'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l new-mailboxes -d 'Give every account a new mailbox, even where its Maildir lies below the mail root as DOMAIN/NAME'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from postfixadmin" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from help" -f -a "passwd-file" -d 'Users of Dovecot\'s passwd-file'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from help" -f -a "unix" -d 'Users, aliases and forwards of a Unix system'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from help" -f -a "postfixadmin" -d 'Domains, mailboxes, aliases and vacations of PostfixAdmin'
complete -c pigeon -n "__fish_pigeon_using_subcommand import; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -f -a "list" -d 'List what waits, is being sent, or was given up'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -f -a "retry" -d 'Try entries again now, also those that were given up'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -f -a "cancel" -d 'Give entries up: they are not sent'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -f -a "flush" -d 'Send what is due now, and say what became of it'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and not __fish_seen_subcommand_from list retry cancel flush help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from list" -l status -d 'Only those in this state [default: all that were not sent]' -r -f -a "held\t'Durable, but its delivery has not been committed'
ready\t'Waits for its next attempt'
sending\t'Being sent'
sent\t'Accepted by the mail server'
failed\t'Given up; the sender was told'
cancelled\t'Given up by an administrator'"
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from list" -l limit -d 'At most this many' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from retry" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from retry" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from retry" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from retry" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from cancel" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from cancel" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from cancel" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from cancel" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from flush" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from flush" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from flush" -l all -d 'Also what waits for a later attempt'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from flush" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from flush" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from help" -f -a "list" -d 'List what waits, is being sent, or was given up'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from help" -f -a "retry" -d 'Try entries again now, also those that were given up'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from help" -f -a "cancel" -d 'Give entries up: they are not sent'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from help" -f -a "flush" -d 'Send what is due now, and say what became of it'
complete -c pigeon -n "__fish_pigeon_using_subcommand outbox; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and not __fish_seen_subcommand_from learn help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and not __fish_seen_subcommand_from learn help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and not __fish_seen_subcommand_from learn help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and not __fish_seen_subcommand_from learn help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and not __fish_seen_subcommand_from learn help" -f -a "learn" -d 'Teach the scanner what is spam and what is not'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and not __fish_seen_subcommand_from learn help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l address -d 'Learn for this account, or for its domain, where `antispam.learn_scope` says so' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l ham -d 'The messages are wanted'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l spam -d 'The messages are spam'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l moved -d 'Learn from mail that people moved into their folder for spam, or out of it'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l all -d 'The mail of all accounts'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l again -d 'Look at all mail again, not only at what changed since the last time'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l dry-run -d 'Say what would be learned, and learn nothing'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from learn" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from help" -f -a "learn" -d 'Teach the scanner what is spam and what is not'
complete -c pigeon -n "__fish_pigeon_using_subcommand spam; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -f -a "list" -d 'List the nodes: who runs, since when, how much they do, and how far behind they are'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -f -a "show" -d 'Show everything that is known about one node'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -f -a "remove" -d 'Forget a node that will not come back'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and not __fish_seen_subcommand_from list show remove help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from list" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from list" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from list" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from show" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from show" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from show" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from remove" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from remove" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from remove" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from remove" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "list" -d 'List the nodes: who runs, since when, how much they do, and how far behind they are'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show everything that is known about one node'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "remove" -d 'Forget a node that will not come back'
complete -c pigeon -n "__fish_pigeon_using_subcommand node; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand completions" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand completions" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand completions" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pigeon -n "__fish_pigeon_using_subcommand generate" -l config -d 'The configuration file [default: `$PIGEON_CONFIG`, else /etc/pigeondeliver/pigeondeliver.toml]' -r -F
complete -c pigeon -n "__fish_pigeon_using_subcommand generate" -l as -d 'Make changes with the rights of this account [default: the system\'s authority]' -r
complete -c pigeon -n "__fish_pigeon_using_subcommand generate" -l json -d 'Print one JSON document instead of text'
complete -c pigeon -n "__fish_pigeon_using_subcommand generate" -s h -l help -d 'Print help'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "init" -d 'Make a configuration and an empty directory'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "check" -d 'Check the configuration and everything that it names'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "try" -d 'Show it at work in a scratch directory, with nothing to configure'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "serve" -d 'Take mail from mail servers (LMTP), until stopped'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "lmtp" -d 'Speak LMTP on standard input and output, for inetd and Sendmail'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "deliver" -d 'Deliver one message from standard input (the Unix MDA interface)'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "explain" -d 'Show what happens to the mail of an address, and why'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "settings" -d 'Show and change settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "domain" -d 'Domains: add, list, rename, remove, …'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "account" -d 'Accounts: add, list, rename, set a password, …'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "alias" -d 'Aliases: addresses that stand for others'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "grant" -d 'Who may administer what'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "receipts" -d 'Show what became of messages'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "changes" -d 'Show who changed what in the directory'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "service" -d 'The delivery services and their settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "sieve" -d 'Sieve scripts: check and try them, keep those of accounts'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "directory" -d 'Export and import the whole directory'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "import" -d 'Take over the directory of another mail system'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "outbox" -d 'Redirects and answers on their way to the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "spam" -d 'Spam: teach the scanner'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "node" -d 'The nodes that take mail for this site'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "completions" -d 'Print the completions for a shell'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "generate" -d 'Write man pages, completions and reference pages'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and not __fish_seen_subcommand_from init check try serve lmtp deliver explain settings domain account alias grant receipts changes service sieve directory import outbox spam node completions generate help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "show" -d 'Show what holds for an address, or what is written at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "set" -d 'Write settings at a layer'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "unset" -d 'Take settings away: nothing is said at that layer any more'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "pin" -d 'Impose settings that are written already'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "unpin" -d 'Let inner layers say otherwise again; the settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from settings" -f -a "describe" -d 'Describe settings: what they are for, what they accept, their defaults'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "add" -d 'Add domains'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "list" -d 'List the domains'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "show" -d 'Show a domain: its names, administrators and settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "rename" -d 'Give a domain another name; its mail and settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "suspend" -d 'Let mail for domains wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "resume" -d 'Take mail for suspended domains again'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "remove" -d 'Mark domains as removed; everything is kept until purge'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "purge" -d 'Delete removed domains for good, with everything in them'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from domain" -f -a "alias" -d 'Other names that mean the same domain'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "add" -d 'Add an account; its domain must exist'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "list" -d 'List accounts, by address'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "show" -d 'Show an account: its mailbox, roles and settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "edit" -d 'Change the person\'s name'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "password" -d 'Set the password'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "rename" -d 'Give an account another address; its mail and settings stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "move" -d 'Have another node keep the mailbox; mail goes on arriving meanwhile'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "suspend" -d 'Let mail for accounts wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "resume" -d 'Take mail for suspended accounts again'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "remove" -d 'Mark accounts as removed: unknown to senders, but everything is kept until purge'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from account" -f -a "purge" -d 'Delete removed accounts for good, with their mail'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "add" -d 'Add an alias'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "set" -d 'Give an alias other targets'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "list" -d 'List aliases'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "show" -d 'Show an alias'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "rename" -d 'Give an alias another address; its targets stay'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "suspend" -d 'Let mail for aliases wait at the mail server'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "resume" -d 'Take mail for suspended aliases again'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "remove" -d 'Mark aliases as removed'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "restore" -d 'Undo remove'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from alias" -f -a "purge" -d 'Delete removed aliases for good'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from grant" -f -a "add" -d 'Make an account an administrator'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from grant" -f -a "list" -d 'List who may administer what'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from grant" -f -a "remove" -d 'Take a grant back'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "list" -d 'List the services, in the order in which a message walks through them'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from service" -f -a "describe" -d 'Describe a service: what it is for, and its settings'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "check" -d 'Check that scripts compile; says what is wrong with them, with lines'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "test" -d 'Run scripts on a message and print as JSON what would come of it; nothing is stored, sent or remembered'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "put" -d 'Keep a script of an account, in the place of one of that name'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "get" -d 'Print a script of an account'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "list" -d 'List the scripts of an account'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "activate" -d 'Choose the script of an account that runs, or none'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "remove" -d 'Delete scripts of an account that do not run'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from sieve" -f -a "rename" -d 'Give a script of an account another name; the one that runs goes on running'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from directory" -f -a "export" -d 'Write domains, accounts, aliases, grants and settings to a file'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from directory" -f -a "import" -d 'Take entries from an exported file'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from directory" -f -a "copy" -d 'Copy a directory to another backend, and see that both answer alike'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from import" -f -a "passwd-file" -d 'Users of Dovecot\'s passwd-file'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from import" -f -a "unix" -d 'Users, aliases and forwards of a Unix system'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from import" -f -a "postfixadmin" -d 'Domains, mailboxes, aliases and vacations of PostfixAdmin'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from outbox" -f -a "list" -d 'List what waits, is being sent, or was given up'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from outbox" -f -a "retry" -d 'Try entries again now, also those that were given up'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from outbox" -f -a "cancel" -d 'Give entries up: they are not sent'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from outbox" -f -a "flush" -d 'Send what is due now, and say what became of it'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from spam" -f -a "learn" -d 'Teach the scanner what is spam and what is not'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "list" -d 'List the nodes: who runs, since when, how much they do, and how far behind they are'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "show" -d 'Show everything that is known about one node'
complete -c pigeon -n "__fish_pigeon_using_subcommand help; and __fish_seen_subcommand_from node" -f -a "remove" -d 'Forget a node that will not come back'
