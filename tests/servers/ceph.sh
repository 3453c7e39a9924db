#!/bin/sh
# ceph.sh DIRECTORY PORT
# Ceph's S3 gateway on 127.0.0.1 at PORT: a monitor, a storage daemon that keeps everything in memory, and radosgw. It answers as soon as
# its user is there, whose key is AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. It runs until its process group is killed; DIRECTORY is for
# it alone. Needs no root. The daemons trust one another; requests of clients must be signed.
set -eu

directory=$1
port=$2
for program in python3 ceph-mon ceph-osd ceph monmaptool radosgw radosgw-admin; do
    command -v "$program" >/dev/null || {
        echo "ceph.sh: '$program' is needed: apt-get install --no-install-recommends radosgw ceph-mon ceph-osd python3" >&2
        exit 1
    }
done

monitor=$(python3 -c 'import socket; free = socket.create_server(("127.0.0.1", 0)); print(free.getsockname()[1])')
cluster=$(cat /proc/sys/kernel/random/uuid)
osd=$(cat /proc/sys/kernel/random/uuid)
configuration=$directory/ceph.conf
mkdir -p "$directory/mon" "$directory/osd" "$directory/run"
cat >"$configuration" <<CONFIGURATION
[global]
fsid = $cluster
mon_host = v1:127.0.0.1:$monitor
ms_bind_msgr2 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_data_avail_crit = 0
# Every pool that the gateway makes is a proposal, and by default each waits for a second.
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_class_update_on_start = false
osd_objectstore = memstore
memstore_device_bytes = 4294967296
mon_data = $directory/mon
osd_data = $directory/osd
run_dir = $directory/run
admin_socket = $directory/run/\$name.asok
pid_file = $directory/run/\$name.pid
log_file = $directory/\$name.log
rgw_data = $directory/rgw
rgw_dns_name = s3.localhost
rgw_enable_usage_log = false
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
CONFIGURATION

monmaptool --create --addv a "v1:127.0.0.1:$monitor" --fsid "$cluster" "$directory/monmap"
ceph-mon -c "$configuration" --mkfs -i a --monmap "$directory/monmap"
ceph-mon -c "$configuration" -f -i a &
timeout 60 ceph -c "$configuration" osd new "$osd"
ceph-osd -c "$configuration" -i 0 --mkfs --osd-uuid "$osd"
# Ceph 16 may send its first command before it knows the cluster's id, and gives up then.
(for _ in 1 2 3 4 5 6 7 8 9 10; do ceph-osd -c "$configuration" -f -i 0 || sleep 0.2; done) &
# Makes the pools, too.
timeout 100 radosgw-admin -c "$configuration" user create --uid=tests --display-name=tests \
    --access-key="$AWS_ACCESS_KEY_ID" --secret-key="$AWS_SECRET_ACCESS_KEY"
exec radosgw -c "$configuration" -f -n client.rgw --rgw-frontends="beast endpoint=127.0.0.1:$port tcp_nodelay=1"
