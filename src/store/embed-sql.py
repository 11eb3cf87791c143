#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes the C table of migrations from the numbered files of schemas/sql.

usage: embed-sql.py OUTPUT NNNN_name.sql...
"""
import os
import sys


def c_string(text):
    lines = text.replace('\\', '\\\\').replace('"', '\\"').splitlines()
    return '\n'.join(f'    "{line}\\n"' for line in lines)


def main(output, paths):
    rows = []
    for number, path in enumerate(sorted(paths, key=os.path.basename), start=1):
        name = os.path.basename(path)
        if not name.startswith(f'{number:04d}_'):
            sys.exit(f'{name}: expected the number {number:04d}; files are numbered without gaps')
        with open(path, encoding='utf-8') as file:
            rows.append('  {\n' + c_string(file.read()) + '\n  },\n')
    with open(output, 'w', encoding='utf-8') as file:
        file.write('#include "lodge-migrate.h"\n\n'
                   'const LodgeMigration lodge_migrations[] = {\n' + ''.join(rows)
                   + '  { NULL },\n};\n')


main(sys.argv[1], sys.argv[2:])
