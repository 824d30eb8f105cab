# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_fathom_global_optspecs
    string join \n e= l/list p/pid= c/cmd= o/output= f/format= B= q/quiet v/verbose k/warnings no-warnings unsafe dry-run mode= test bench fmt probe-filter= include= d/debug= info usdt-file-activation b/btf h/help V/version no-feature= traceable-functions= debuginfo= I=
end

function __fish_fathom_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_fathom_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_fathom_using_subcommand
    set -l cmd (__fish_fathom_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c fathom -n "__fish_fathom_needs_command" -s e -d 'The script itself; the last one counts' -r
complete -c fathom -n "__fish_fathom_needs_command" -s p -l pid -d 'Trace this process only, and end with it' -r
complete -c fathom -n "__fish_fathom_needs_command" -s c -l cmd -d 'Start a command, trace it, and end with it' -r
complete -c fathom -n "__fish_fathom_needs_command" -s o -l output -d 'Write output to a file' -r
complete -c fathom -n "__fish_fathom_needs_command" -s f -l format -d 'Output as text or json' -r
complete -c fathom -n "__fish_fathom_needs_command" -s B -d 'When output is written' -r -f -a "line\t''
full\t''
none\t''"
complete -c fathom -n "__fish_fathom_needs_command" -l mode -d 'run, test, bench or format' -r -f -a "run\t''
test\t''
bench\t''
format\t''
codegen\t''
compiler-bench\t''"
complete -c fathom -n "__fish_fathom_needs_command" -l probe-filter -d 'Attach only probes whose name contains a match' -r
complete -c fathom -n "__fish_fathom_needs_command" -l include -d 'Include a header before the script' -r
complete -c fathom -n "__fish_fathom_needs_command" -s d -l debug -d 'Print stages of the compiler: all, ast, types, ir, codegen, codegen-opt, bpf, libbpf, verifier' -r
complete -c fathom -n "__fish_fathom_needs_command" -l no-feature -d 'Do without a facility of the kernel: kprobe_multi, kprobe_session, uprobe_multi ...' -r
complete -c fathom -n "__fish_fathom_needs_command" -l traceable-functions -d 'Take the list of functions that can be probed from a file' -r
complete -c fathom -n "__fish_fathom_needs_command" -l debuginfo -d 'Look for debug files there' -r
complete -c fathom -n "__fish_fathom_needs_command" -s I -d 'Look for imported and included files there' -r
complete -c fathom -n "__fish_fathom_needs_command" -s l -l list -d 'List probes that match a pattern, or those of a script; with -v their arguments'
complete -c fathom -n "__fish_fathom_needs_command" -s q -l quiet -d 'Print nothing but what the script prints'
complete -c fathom -n "__fish_fathom_needs_command" -s v -l verbose -d 'Say what is loaded and attached, and how'
complete -c fathom -n "__fish_fathom_needs_command" -s k -l warnings -d 'Report every failed read and look-up while tracing'
complete -c fathom -n "__fish_fathom_needs_command" -l no-warnings -d 'Do not show warnings'
complete -c fathom -n "__fish_fathom_needs_command" -l unsafe -d 'Allow functions that change the system: system, signal, override, write_user'
complete -c fathom -n "__fish_fathom_needs_command" -l dry-run -d 'Compile, load and attach, then end'
complete -c fathom -n "__fish_fathom_needs_command" -l test -d 'Run the script\'s test: probes'
complete -c fathom -n "__fish_fathom_needs_command" -l bench -d 'Run the script\'s bench: probes'
complete -c fathom -n "__fish_fathom_needs_command" -l fmt -d 'Print the script formatted'
complete -c fathom -n "__fish_fathom_needs_command" -l info -d 'Say what this kernel can do'
complete -c fathom -n "__fish_fathom_needs_command" -l usdt-file-activation -d 'Accepted for compatibility: semaphores are always handled by the kernel'
complete -c fathom -n "__fish_fathom_needs_command" -s b -l btf
complete -c fathom -n "__fish_fathom_needs_command" -s h -l help -d 'Print this help'
complete -c fathom -n "__fish_fathom_needs_command" -s V -l version -d 'Print the version'
complete -c fathom -n "__fish_fathom_needs_command" -a "list" -d 'List probes, with -v their arguments; patterns as in attach points, `struct NAME` for types'
complete -c fathom -n "__fish_fathom_needs_command" -a "info" -d 'Say what this kernel can do'
complete -c fathom -n "__fish_fathom_needs_command" -a "fmt" -d 'Format a script'
complete -c fathom -n "__fish_fathom_needs_command" -a "completions" -d 'Print completions for a shell'
complete -c fathom -n "__fish_fathom_needs_command" -a "man" -d 'Print the manual page'
complete -c fathom -n "__fish_fathom_needs_command" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c fathom -n "__fish_fathom_using_subcommand list" -s p -l pid -d 'Of this process' -r
complete -c fathom -n "__fish_fathom_using_subcommand list" -l no-feature -d 'Do without a facility of the kernel: kprobe_multi, kprobe_session, uprobe_multi ...' -r
complete -c fathom -n "__fish_fathom_using_subcommand list" -l traceable-functions -d 'Take the list of functions that can be probed from a file' -r
complete -c fathom -n "__fish_fathom_using_subcommand list" -l debuginfo -d 'Look for debug files there' -r
complete -c fathom -n "__fish_fathom_using_subcommand list" -s I -d 'Look for imported and included files there' -r
complete -c fathom -n "__fish_fathom_using_subcommand list" -s v -l verbose -d 'With arguments and types'
complete -c fathom -n "__fish_fathom_using_subcommand info" -l no-feature -d 'Do without a facility of the kernel: kprobe_multi, kprobe_session, uprobe_multi ...' -r
complete -c fathom -n "__fish_fathom_using_subcommand info" -l traceable-functions -d 'Take the list of functions that can be probed from a file' -r
complete -c fathom -n "__fish_fathom_using_subcommand info" -l debuginfo -d 'Look for debug files there' -r
complete -c fathom -n "__fish_fathom_using_subcommand info" -s I -d 'Look for imported and included files there' -r
complete -c fathom -n "__fish_fathom_using_subcommand fmt" -s i -l in-place -d 'Write the result back to the file'
complete -c fathom -n "__fish_fathom_using_subcommand fmt" -l check -d 'Print nothing; exit with 1 if the script is not formatted'
complete -c fathom -n "__fish_fathom_using_subcommand help; and not __fish_seen_subcommand_from list info fmt completions man help" -f -a "list" -d 'List probes, with -v their arguments; patterns as in attach points, `struct NAME` for types'
complete -c fathom -n "__fish_fathom_using_subcommand help; and not __fish_seen_subcommand_from list info fmt completions man help" -f -a "info" -d 'Say what this kernel can do'
complete -c fathom -n "__fish_fathom_using_subcommand help; and not __fish_seen_subcommand_from list info fmt completions man help" -f -a "fmt" -d 'Format a script'
complete -c fathom -n "__fish_fathom_using_subcommand help; and not __fish_seen_subcommand_from list info fmt completions man help" -f -a "completions" -d 'Print completions for a shell'
complete -c fathom -n "__fish_fathom_using_subcommand help; and not __fish_seen_subcommand_from list info fmt completions man help" -f -a "man" -d 'Print the manual page'
complete -c fathom -n "__fish_fathom_using_subcommand help; and not __fish_seen_subcommand_from list info fmt completions man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
