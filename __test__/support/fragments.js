// Owns the pieces that hostile ids and slugs are made of: what paths, hosts and encodings trip over.
'use strict'

const FRAGMENTS = [
  ...'/\\?#%:@;+&=,.~!$\'"()*<>[]{}|^`- aZ09_é\u0301ß中',
  ...['..', './', '../', '%2e', '%2E%2e', '%2f', '%5c', '%00', '%0a', '%', '%c0%ae', '//', '://', 'https:'],
  ...[
    'evil.example',
    '127.0.0.1',
    '[::1]',
    'u1@',
    '{id}',
    '{slug}',
    ':id',
    '$&',
    '$1',
    'connections',
    'groups',
  ],
  ...[
    '😀',
    '👩‍👧',
    '\u202e',
    'x\u200b',
    'x\ufeff',
    '\u00a0',
    '\u2028',
    '\u3000',
    '\u{10ffff}',
    'ﬁ',
    'İ',
    'constructor',
  ],
]

module.exports = { FRAGMENTS }
