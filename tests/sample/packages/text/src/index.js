const { words } = require('core');

const capital = (word) => word[0].toUpperCase() + word.slice(1);

exports.title = (text) => words(text).map(capital).join(' ');
