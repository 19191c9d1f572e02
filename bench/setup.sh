#!/bin/bash
# Installs the peers (Debian packages) and builds the tools.  Services are not started.  Run once, as root.
set -e
. "$(dirname "$0")/common.sh"
packages="dovecot-core dovecot-lmtpd dovecot-sieve dovecot-sqlite procmail fdm maildrop fio strace gcc libc6-dev
  python3 util-linux procps e2fsprogs"
echo "installing with apt-get:" $packages
export DEBIAN_FRONTEND=noninteractive
A="apt-get -o DPkg::Lock::Timeout=300"
[ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; made=1; }
trap '[ -z "${made:-}" ] || rm -f /usr/sbin/policy-rc.d' EXIT
$A install -y --no-install-recommends $packages || { $A update; $A install -y --no-install-recommends $packages; }
build_tools
echo "ready: dovecot $(dovecot --version), procmail, maildrop, fdm; tools in $BIN"
