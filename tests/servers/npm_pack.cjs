// What npm itself makes of directories, without running it once for each: its own modules, in one process.
//
// node npm_pack.cjs <npm's directory>, with a JSON list of {path, prefix?, workspaces?, publish?} on stdin. Answers with a JSON list of
// {files: [[path, mode, kind]], tar: sha256 of the unpacked tarball, manifest: text} or {error}.
'use strict'

const { createHash } = require('node:crypto')
const { join } = require('node:path')
const { gunzipSync } = require('node:zlib')

const modules = join(process.argv[2], 'node_modules')
const npm = (name) => require(join(modules, name))
const pack = npm('libnpmpack')
const PackageJson = npm('@npmcli/package-json')
const tar = npm('tar')

const entries = (bytes) => {
  const files = []
  const parser = new tar.Parser({
    strict: true,
    onReadEntry: (entry) => {
      files.push([entry.path.replace(/^package\//, ''), entry.mode, entry.type])
      entry.resume()
    },
  })
  parser.end(bytes)
  return files
}

const answer = async ({ path, prefix, workspaces }) => {
  const packed = await pack(`file:${path}`, { ignoreScripts: true, ignoreExtension: true, prefix, workspaces, dryRun: true })
  const bytes = gunzipSync(packed)
  const manifest = await PackageJson.fix(path).then((fixed) => fixed.prepare())
  return {
    files: entries(bytes),
    tar: createHash('sha256').update(bytes).digest('hex'),
    manifest: JSON.stringify(manifest.content),
  }
}

let failed = () => {}
process.on('uncaughtException', (error) => failed(error))
process.on('unhandledRejection', (error) => failed(error))

const main = async () => {
  const answers = []
  const input = []
  for await (const chunk of process.stdin) input.push(chunk)
  for (const question of JSON.parse(Buffer.concat(input))) {
    const broken = new Promise((resolve, reject) => {
      failed = reject
    })
    try {
      answers.push(await Promise.race([answer(question), broken]))
    } catch (error) {
      answers.push({ error: String(error && error.message) })
    }
  }
  process.stdout.write(JSON.stringify(answers))
}

main()
