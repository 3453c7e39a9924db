// Looks for secrets wherever a script of the project can look, and writes down what it found and what it was refused.
//
// node thief.cjs <file to write>, as a lifecycle script. Answers with {user, found: [place], processes: {pid: {name, environ, memory}},
// files, ancestors: [pid]}, where environ and memory are `read` or the error.
'use strict'

const fs = require('node:fs')
const { join } = require('node:path')

// Not in one word: what this program itself holds is no find.
const secret = new RegExp('pkgs' + 'Canary[0-9a-f]{16}')
const longest = 64 << 20
const found = []

const look = (place, bytes) => {
  const match = secret.exec(bytes.toString('latin1'))
  if (match) found.push(`${place}: ${match[0]}`)
}

const attempt = (act) => {
  try {
    act()
    return 'read'
  } catch (error) {
    return error.code || String(error)
  }
}

// ---- processes
const memory = (pid) => {
  const maps = fs.readFileSync(`/proc/${pid}/maps`, 'latin1')
  const file = fs.openSync(`/proc/${pid}/mem`, 'r')
  try {
    for (const line of maps.split('\n')) {
      const map = /^([0-9a-f]+)-([0-9a-f]+) r/.exec(line)
      if (!map || line.includes('[v')) continue
      const start = parseInt(map[1], 16)
      const bytes = Buffer.alloc(Math.min(parseInt(map[2], 16) - start, longest))
      try {
        const length = fs.readSync(file, bytes, 0, bytes.length, start)
        look(`memory of ${pid}`, bytes.subarray(0, length))
      } catch {
        // A part that nobody can read.
      }
    }
  } finally {
    fs.closeSync(file)
  }
}

const processes = {}
for (const pid of fs.readdirSync('/proc')) {
  if (!/^\d+$/.test(pid)) continue
  const seen = { name: '', environ: '', memory: '' }
  attempt(() => { seen.name = fs.readFileSync(`/proc/${pid}/comm`, 'latin1').trim() })
  seen.environ = attempt(() => look(`environment of ${pid}`, fs.readFileSync(`/proc/${pid}/environ`)))
  attempt(() => look(`arguments of ${pid}`, fs.readFileSync(`/proc/${pid}/cmdline`)))
  // Its own memory holds everything that it read.
  seen.memory = pid === String(process.pid) ? 'own' : attempt(() => memory(pid))
  attempt(() => {
    for (const open of fs.readdirSync(`/proc/${pid}/fd`)) {
      const file = `/proc/${pid}/fd/${open}`
      if (fs.statSync(file).isFile()) attempt(() => look(`open file of ${pid}`, fs.readFileSync(file)))
    }
  })
  processes[pid] = seen
}
const ancestors = []
for (let pid = String(process.pid); pid !== '0';) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'latin1')
  pid = /^PPid:\s*(\d+)/m.exec(status)[1]
  ancestors.push(pid)
}

// ---- its own environment, and files
for (const [name, value] of Object.entries(process.env)) look(`variable ${name}`, Buffer.from(value))
let files = 0
const walk = (path) => attempt(() => {
  const kind = fs.lstatSync(path)
  if (kind.isDirectory()) {
    for (const name of fs.readdirSync(path)) walk(join(path, name))
  } else if (kind.isFile() && kind.size <= longest) {
    files += 1
    look(path, fs.readFileSync(path))
  }
})
const { HOME, TMPDIR, INIT_CWD } = process.env
for (const place of [HOME, TMPDIR, INIT_CWD]) walk(place)
for (const place of ['/tmp', '/var/tmp', '/dev/shm', '/run']) {
  attempt(() => {
    for (const name of fs.readdirSync(place)) if (name.startsWith('pkgs-action')) walk(join(place, name))
  })
}

const user = process.getuid()
fs.writeFileSync(process.argv[2], JSON.stringify({ user, found, processes, files, ancestors }))
