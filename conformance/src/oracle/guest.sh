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

# google/packetdrill's program in Python that sets sysctls and writes a file that sets them back, by the path from each depth
# of its folders.
netplumb_set_sysctls() {
	netplumb_back=/tmp/sysctl_restore_$PACKETDRILL_PID.sh
	echo '#!/bin/bash' > "$netplumb_back"
	for netplumb_word; do
		netplumb_file=${netplumb_word%%=*}
		netplumb_old=$(cat "$netplumb_file") || return 1
		echo "echo \"$netplumb_old\" > $netplumb_file" >> "$netplumb_back"
		echo "${netplumb_word#*=}" > "$netplumb_file"
	done
	chmod u+x "$netplumb_back"
}
alias ../common/set_sysctls.py=netplumb_set_sysctls
alias ../../common/set_sysctls.py=netplumb_set_sysctls
alias ../../../common/set_sysctls.py=netplumb_set_sysctls
