#!/bin/sh
echo "Greetings from $1."
