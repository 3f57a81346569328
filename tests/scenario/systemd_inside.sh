#!/bin/sh
# systemd_inside.sh PLACE: run a systemd of its own in namespaces, with PLACE/units, and PLACE/client.py as its test.
# Called again with a second argument inside of the namespaces.
set -eu
place=$1

if [ $# -eq 1 ]; then
    # A cgroup of our own, so that the inner systemd sees a hierarchy that it may use.
    for tree in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/systemd; do
        if [ -f "$tree/cgroup.procs" ]; then
            mkdir -p "$tree/msgstore-test-$$"
            echo $$ > "$tree/msgstore-test-$$/cgroup.procs" || true
        fi
    done
    status=0
    timeout -k 5 120 unshare --mount --pid --fork --kill-child --uts --ipc --net --cgroup --mount-proc \
        /bin/sh "$0" "$place" inside || status=$?
    for tree in /sys/fs/cgroup/unified /sys/fs/cgroup /sys/fs/cgroup/systemd; do
        if [ -d "$tree/msgstore-test-$$" ]; then
            echo $$ > "$tree/cgroup.procs" || true
            find "$tree/msgstore-test-$$" -depth -type d -exec rmdir {} + 2> /dev/null || true
        fi
    done
    exit $status
fi

mount --make-rprivate /
mkdir -p "$place/layer"
mount -t tmpfs tmpfs "$place/layer"
mkdir "$place/layer/upper" "$place/layer/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$place/layer/upper,workdir=$place/layer/work" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /opt
umount -R /sys/fs/cgroup 2> /dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup || { mount -t tmpfs tmpfs /sys/fs/cgroup; }
ip link set lo up 2> /dev/null || true

rm -rf /etc/systemd/system/* /etc/msgstore
mkdir -p /run/systemd/system /etc/sysusers.d /etc/tmpfiles.d /opt/msgstore/bin /run/site
cp -r "$place/site/." /run/site/
for name in lmtpd accessd; do
    printf '#!/bin/sh\nPYTHONPATH=/run/site exec /usr/bin/python3 -m %s "$@"\n' "$name" > "/opt/msgstore/bin/$name"
    chmod 755 "/opt/msgstore/bin/$name"
    cp "$place/units/$name.service" "$place/units/$name.socket" /run/systemd/system/
    mkdir -p "/run/systemd/system/$name.service.d" "/run/systemd/system/$name.socket.d"
    printf '[Unit]\nDefaultDependencies=no\n[Service]\nWatchdogSec=2\n' > "/run/systemd/system/$name.service.d/test.conf"
    printf '[Unit]\nDefaultDependencies=no\n' > "/run/systemd/system/$name.socket.d/test.conf"
done
systemd-sysusers "$place/units/msgstore.sysusers.conf"
groupadd -f msgstore-peers
useradd --system --no-create-home --groups msgstore-access pop3peer 2> /dev/null || true
systemd-tmpfiles --create "$place/units/msgstore.tmpfiles.conf"
PYTHONPATH=/run/site /usr/bin/python3 -m msgstore.admin.cli --config /etc/msgstore/msgstore.toml \
    setup alice@example.com --password-stdin <<PASSWORD
secret
PASSWORD
cat >> /etc/msgstore/msgstore.toml <<SETTINGS

[access.roles]
pop3peer = ["pop3"]
root = ["admin"]

[metrics]
lmtpd = "unix:/run/lmtpd/metrics.sock"
SETTINGS
chown -R msgstore:msgstore /var/lib/msgstore
chgrp msgstore /etc/msgstore/msgstore.toml
chmod 640 /etc/msgstore/msgstore.toml

# The same sandbox around a program that tries to break out, and the same program without it as a control.
sed -e 's/^Type=.*/Type=oneshot/' -e '/^WatchdogSec\|^Restart\|^Requires\|^After\|^ExecReload\|^RuntimeDirectory/d' \
    -e "s|^ExecStart=.*|ExecStart=/usr/bin/python3 /run/site/client.py probe|" \
    "$place/units/lmtpd.service" > /run/systemd/system/probe.service
mkdir -p /run/systemd/system/probe.service.d
printf '[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=append:/var/lib/msgstore/probe.json\n' \
    > /run/systemd/system/probe.service.d/test.conf
cp "$place/client.py" /run/site/client.py
cat > /run/systemd/system/control.service <<UNIT
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /run/site/client.py probe
StandardOutput=append:/run/control.json
UNIT
cat > /run/systemd/system/client.service <<UNIT
[Unit]
DefaultDependencies=no
Requires=lmtpd.socket accessd.socket
After=lmtpd.socket accessd.socket
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=PYTHONPATH=/run/site
ExecStart=/usr/bin/python3 /run/site/client.py $place/report.json
StandardOutput=append:$place/client.log
StandardError=append:$place/client.log
TimeoutStartSec=100
UNIT
cat > /run/systemd/system/test.target <<UNIT
[Unit]
DefaultDependencies=no
Wants=client.service
UNIT
exec env -i container=msgstore PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=0
