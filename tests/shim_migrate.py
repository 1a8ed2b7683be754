# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
"""shim_migrate.py PORT [CAPABILITY...] - two QEMUs, for tests/shim_cm_programs.sh: the memory of one migrates to the other over RDMA.
The guest is a boot sector that changes its memory all the time; what lies above one MiB is compared afterwards. Of the sources of a
migration, one is killed ("source-dies"), and one loses its destination ("destination-dies")."""
import json
import os
import socket
import subprocess
import sys
import time

MEMORY = 16 << 20
AT = 0x100000

# For ever: increment a word of each page from 0x10000 to 0x8ffff.
LOOP = bytes.fromhex('b80010 8ec0 31ff 26ff05 81c70010 75f7 050010 3d0090 75eb ebe6')


class Machine:
    def __init__(self, name, *arguments):
        self.log = open(name + '.log', 'w+', encoding='utf-8')
        self.process = subprocess.Popen(
            ['qemu-system-x86_64', '-M', 'pc,accel=tcg', '-m', '32M', '-nodefaults', '-display', 'none',
             '-drive', 'file=boot.img,format=raw,if=ide,snapshot=on', '-qmp', f'unix:{name}.qmp,server=on,wait=off', *arguments],
            stdout=self.log, stderr=self.log)
        connection = socket.socket(socket.AF_UNIX)
        while connection.connect_ex(name + '.qmp'):
            assert self.process.poll() is None, self.words()
            time.sleep(0.05)
        self.qmp = connection.makefile('rw')
        self.qmp.readline()
        self.do('qmp_capabilities')

    def do(self, command, **arguments):
        self.qmp.write(json.dumps({'execute': command, 'arguments': arguments}) + '\n')
        self.qmp.flush()
        while True:
            answer = json.loads(self.qmp.readline())
            assert 'error' not in answer, (command, answer)
            if 'return' in answer:
                return answer['return']

    def migrated(self):
        while True:
            status = self.do('query-migrate').get('status')
            if status in ('completed', 'failed', 'cancelled'):
                return status
            time.sleep(0.05)

    def memory(self):
        self.do('pmemsave', val=AT, size=MEMORY, filename=os.path.abspath('memory.bin'))
        with open('memory.bin', 'rb') as f:
            return f.read()

    def words(self):
        self.log.seek(0)
        return self.log.read()


def main():
    port, wishes = sys.argv[1], sys.argv[2:]
    filling = os.urandom(MEMORY)
    with open('filling.bin', 'wb') as f:
        f.write(filling)
    with open('boot.img', 'wb') as f:
        f.write(LOOP.ljust(510, b'\0') + b'\x55\xaa' + bytes(63 * 512))
    source = Machine('source', '-device', f'loader,file=filling.bin,addr={AT:#x},force-raw=on')
    destination = Machine('destination', '-incoming', 'defer')
    try:
        for wish in wishes:
            if not wish.endswith('dies'):
                for machine in (source, destination):
                    machine.do('migrate-set-capabilities', capabilities=[{'capability': wish, 'state': True}])
        where = f'rdma:127.0.0.1:{port}'
        destination.do('migrate-incoming', uri=where)
        if wishes and wishes[-1].endswith('dies'):
            source.do('migrate-set-parameters', **{'max-bandwidth': 1000000})
        source.do('migrate', uri=where)
        if 'source-dies' in wishes or 'destination-dies' in wishes:
            while source.do('query-migrate').get('ram', {}).get('normal', 0) < 100:
                time.sleep(0.05)
        if 'source-dies' in wishes:
            source.process.kill()
            assert destination.process.wait() == 1, destination.words()
        elif 'destination-dies' in wishes:
            destination.process.kill()
            assert source.migrated() == 'failed', source.words()
            assert source.do('query-status')['running']
        else:
            assert source.migrated() == 'completed', source.words() + destination.words()
            while not destination.do('query-status')['running']:
                time.sleep(0.05)
            destination.do('stop')
            assert destination.memory() == filling
    finally:
        for machine in (source, destination):
            machine.process.kill()
            machine.process.wait()
    print('all right')


main()
