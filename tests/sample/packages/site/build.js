const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, rmSync, writeFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const { version } = require('./package.json');

const read = (path) => readFileSync(join(__dirname, 'src', path));
const write = (path, bytes) => {
  const file = join(__dirname, 'dist', path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, bytes);
};

rmSync(join(__dirname, 'dist'), { recursive: true, force: true });

let page = read('index.html').toString();
for (const path of ['css/site.css', 'js/site.js']) {
  const bytes = read(path);
  const hash = createHash('sha256').update(bytes).digest('hex').slice(0, 10);
  const hashed = path.replace(/\.(\w+)$/, `.${hash}.$1`);
  write(hashed, bytes);
  page = page.replace(path, hashed);
}
write('index.html', page);
write('robots.txt', read('robots.txt'));
write('version.json', `${JSON.stringify({ version })}\n`);
