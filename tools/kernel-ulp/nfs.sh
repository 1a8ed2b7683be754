#!/bin/busybox sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # what they share is in tools/kernel-ulp.sh, which reads this file
#
# NFS over RDMA: nfsd and nfs with rpcrdma for both ends. What mountd and exportfs say to the kernel is said by hand.

NFS_FOREVER=2147483647

# nfs_server DIRECTORY - what is there, for 10.9.0.1
nfs_server() {
	rpc=/proc/net/rpc nfsd=/proc/fs/nfsd
	# Flags: insecure ports, asynchronous, no check of subtrees, an ID of its own.
	mkdir -p /var/lib/nfs/v4recovery && mount -t nfsd nfsd "$nfsd" && echo "nfsd 10.9.0.1 $NFS_FOREVER client" >"$rpc/auth.unix.ip"/channel &&
		echo "client $1 $NFS_FOREVER $((2 + 16 + 0x400 + 0x2000)) 65534 65534 0" >"$rpc/nfsd.export"/channel &&
		echo "client 1 \\x00000000 $NFS_FOREVER $1" >"$rpc/nfsd.fh"/channel && echo 10 >"$nfsd/nfsv4leasetime" &&
		echo 10 >"$nfsd/nfsv4gracetime" && echo '-2 -3 +4 +4.1 +4.2' >"$nfsd/versions" && echo 'rdma 20049' >"$nfsd/portlist" &&
		echo 4 >"$nfsd/threads" && echo Y >"$nfsd/v4_end_grace" && ! grep -q '^tcp\|^udp' "$nfsd/portlist"
}

nfs_server_end() {
	echo 0 >"$nfsd/threads"
	date +%s >"$rpc/nfsd.export"/flush
	date +%s >"$rpc/nfsd.fh"/flush
	date +%s >"$rpc/auth.unix.ip"/flush
	umount "$nfsd"
}

nfs_mount() {
	mount -t nfs4 10.9.0.1:/ /mnt -o vers=4.2,proto=rdma,port=20049,addr=10.9.0.1,clientaddr=10.9.0.1
}

# tree DIRECTORY - a digest of all files
tree() {
	(cd "$1" && find . -type f | sort | xargs md5sum | md5sum)
}

nfs_files() {
	# shellcheck disable=SC2086 # a list of names
	mkdir /mnt/some && cp $FILES /mnt/some && pattern /tmp/pattern 4711 &&
		head -c 1000000 /tmp/pattern >/mnt/pattern && cp /mnt/pattern /mnt/some/again && mv /mnt/some /mnt/files && rm /tmp/pattern &&
		umount /mnt && nfs_mount && have_files /mnt/files && [ "$(tree /mnt)" = "$(tree /export)" ] &&
		[ "$(find /export -type f | wc -l)" = 6 ]
}

nfs() {
	load rpcrdma && load nfsd && load nfsv4
	verdict $? 'nfs: modules load'
	mkdir -p /export && mkfs.ext4 -q -F /dev/ram0 && mount -t ext4 /dev/ram0 /export && rmdir /export/lost+found && nfs_server /export
	verdict $? 'nfs: a server, on RDMA alone'
	nfs_mount && grep -q ' /mnt nfs4 .*proto=rdma' /proc/mounts && has_connections 2
	verdict $? 'nfs: a client mounts'
	nfs_files
	verdict $? 'nfs: a tree of files is the same at both ends'
	umount /mnt && nfs_server_end && umount /export && e2fsck -f -n /dev/ram0 >/tmp/fsck 2>&1
	verdict $? 'nfs: client and server end'
	unload nfsv4 nfs nfsd rpcrdma
	verdict $? 'nfs: modules unload'
	silent nfs
}
