# Where the cache of what was learned is kept, whatever the configuration says.
mkdir -p /var/lib/rspamd
chown 65534:65534 /var/lib/rspamd
