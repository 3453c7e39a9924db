#!/usr/bin/env node
const { title } = require('@acme/text');

console.log(title(process.argv.slice(2).join(' ')));
