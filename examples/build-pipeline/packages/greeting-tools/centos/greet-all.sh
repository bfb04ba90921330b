#!/bin/sh
for name in "$@"; do greeting "$name"; done
