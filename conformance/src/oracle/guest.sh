# Read by the shells of a guest in virtual time, where starting a program costs forty milliseconds of the host's time and
# scripts set their sysctls by three dozen calls of sysctl. What it does is done here without a program; anything but
# `sysctl -q NAME=VALUE...` and `sysctl -w -q ...` is the program's.
sysctl() {
	netplumb_quiet=
	for netplumb_word; do
		case $netplumb_word in
		-q | -qw | -wq) netplumb_quiet=1 ;;
		-w) ;;
		-*) command sysctl "$@"; return ;;
		*/*=* | *=*=*) command sysctl "$@"; return ;;
		?*=*) ;;
		*) command sysctl "$@"; return ;;
		esac
	done
	if [ -z "$netplumb_quiet" ]; then
		command sysctl "$@"
		return
	fi
	netplumb_status=0
	for netplumb_word; do
		case $netplumb_word in
		-*) continue ;;
		esac
		netplumb_name=${netplumb_word%%=*}
		netplumb_file=/proc/sys
		while [ -n "$netplumb_name" ]; do
			netplumb_file=$netplumb_file/${netplumb_name%%.*}
			case $netplumb_name in
			*.*) netplumb_name=${netplumb_name#*.} ;;
			*) netplumb_name= ;;
			esac
		done
		if ! [ -w "$netplumb_file" ]; then
			command sysctl "$@"
			return
		fi
		printf '%s\n' "${netplumb_word#*=}" > "$netplumb_file" || netplumb_status=1
	done
	return $netplumb_status
}
