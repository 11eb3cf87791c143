#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""make-man.py LODGE TEMPLATE VERSION OUTPUT: puts what `lodge help --man` says into the frame."""

import os
import subprocess
import sys

program, template, version, output = sys.argv[1:]
environment = {**os.environ, "LC_ALL": "C", "NO_COLOR": "1"}
commands = subprocess.run([program, "help", "--man"], check=True, capture_output=True,
                          env=environment).stdout.decode("utf-8")
with open(template, encoding="utf-8") as stream:
    text = stream.read()
with open(output, "w", encoding="utf-8") as stream:
    stream.write(text.replace("@COMMANDS@", commands).replace("@VERSION@", version))
