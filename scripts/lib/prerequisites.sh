# shellcheck shell=bash
# What the scripts of this project need on the operator's machine. Sourced, never run.
#
#   mirror_require_root            a clear message instead of a failing mount later
#   mirror_debian_packages NAME…   installs what is missing
#   mirror_node_modules            npm packages, when package-lock.json is not the installed one
#   mirror_terraform               Terraform 1.5 or later, from PATH or built with Go
#   mirror_providers               Terraform's providers: from the registry, or built with Go where it is out of reach
#   mirror_actionlint              the linter of workflow files, built with Go, and shellcheck, which it asks about their scripts
#   mirror_pebble                  an ACME server for the lab, built with Go
#   mirror_terraform_env           exports what Terraform needs after the two above
#   mirror_cdktn                   prints a directory whose node_modules has cdktn in cdktf's place
#   mirror_build GROUP             bundles dist/ when a source is newer
#
# Every step is quick when there is nothing to do, is safe to run twice at once (locks in the cache), and says on standard error what it
# does and how long it took. A step that fails says what, why, and what to do, and returns 1.

MIRROR_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)"
MIRROR_CACHE="${MIRROR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/package-mirror-as-code}"
export MIRROR_CACHE

# What the unit tests run for real beside Node and gpg: an sshd and certificates of their own, the libraries by which dnf reads groups and modules, and restic.
MIRROR_UNIT_PACKAGES=(
  openssh-client openssh-server openssl smartmontools sudo gir1.2-modulemd-2.0 libmodulemd-tools python3-gi python3-libcomps restic rsync faketime
)

# What the lab runs. gnupg1 makes the version 3 signatures that CentOS' vault carries; gpg 2 cannot.
MIRROR_LAB_PACKAGES=(
  mmdebstrap systemd-container iproute2 util-linux e2fsprogs "${MIRROR_UNIT_PACKAGES[@]}" curl ca-certificates
  nginx-light rpm createrepo-c dnf dnf-plugins-core gnupg gnupg1 zstd xz-utils bzip2 strace
  xfsprogs libfaketime git jq
)

mirror_fail() { # what, why, what to do
  printf '%s: %s\n  %s\n' "$1" "$2" "$3" >&2
  return 1
}

# mirror_step TEXT COMMAND…: runs it with its output in a file that is shown only when it fails.
mirror_step() {
  local text=$1 log start=$SECONDS
  shift
  log=$(mktemp)
  printf '%s … ' "$text" >&2
  if "$@" >"$log" 2>&1; then
    printf 'done in %d s\n' $((SECONDS - start)) >&2
    rm -f "$log"
  else
    printf 'failed after %d s\n' $((SECONDS - start)) >&2
    if [ "$(wc -l <"$log")" -gt 24 ]; then sed -n -e '1,12p' "$log" && echo … && tail -n 12 "$log"; else cat "$log"; fi | sed 's/^/  | /' >&2
    rm -f "$log"
    return 1
  fi
}

# mirror_locked NAME COMMAND…: one at a time on this cache.
mirror_locked() {
  local name=$1 fd status=0
  shift
  mkdir -p "$MIRROR_CACHE"
  exec {fd}>"$MIRROR_CACHE/$name.lock"
  flock "$fd"
  "$@" || status=$?
  exec {fd}>&-
  return "$status"
}

mirror_require_root() {
  [ "$(id -u)" = 0 ] || mirror_fail 'not root' 'the lab makes network namespaces, mounts and a container' "Run it again with: sudo -E $0"
}

# ---- Debian packages --------------------------------------------------------------------------------------------------------------------

mirror_missing_packages() {
  local name
  local -A installed=()
  # shellcheck disable=SC2016 # dpkg-query expands these
  while read -r name; do installed[$name]=1; done < <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p')
  for name in "$@"; do [ -n "${installed[$name]:-}" ] || echo "$name"; done
}

# Debian starts a service when it installs one. Here nginx is only a program that the lab runs with its own configuration.
mirror_apt_install() {
  local policy=/usr/sbin/policy-rc.d kept='' status=0 new_nginx=''
  [[ " $* " == *' nginx-light '* ]] && [ ! -e /usr/sbin/nginx ] && new_nginx=1
  if [ -e "$policy" ] || [ -L "$policy" ]; then
    kept="$policy.kept-by-package-mirror"
    mv "$policy" "$kept"
  fi
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"; } || status=$?
  rm -f "$policy"
  [ -z "$kept" ] || mv "$kept" "$policy"
  if [ -n "$new_nginx" ] && [ -d /run/systemd/system ]; then systemctl disable -q nginx || true; fi
  return "$status"
}

mirror_debian_packages_locked() {
  local missing
  mapfile -t missing < <(mirror_missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  mirror_require_root || return 1
  mirror_step "installing ${missing[*]}" mirror_apt_install "${missing[@]}" ||
    mirror_fail 'Debian packages' "apt-get could not install ${missing[*]}" 'See the lines above; then: apt-get update && apt-get install them by hand, and run this again.'
}

mirror_debian_packages() {
  command -v dpkg-query >/dev/null || {
    mirror_fail 'Debian packages' 'this machine has no dpkg' 'The lab runs on Debian 12 (or a derivative of it).'
    return 1
  }
  [ -z "$(mirror_missing_packages "$@")" ] || mirror_locked apt mirror_debian_packages_locked "$@"
}

# ---- Node -------------------------------------------------------------------------------------------------------------------------------

mirror_node_modules_locked() {
  local lock stamp="$MIRROR_ROOT/node_modules/.package-lock.sha256"
  lock=$(sha256sum <"$MIRROR_ROOT/package-lock.json")
  [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$lock" ] || return 0
  mirror_step 'npm ci' npm ci --prefix "$MIRROR_ROOT" --no-audit --no-fund --loglevel=error ||
    { mirror_fail 'npm packages' 'the packages of package-lock.json could not be installed' 'Is the npm registry in reach? npm ping tells. Then run this again.'; return 1; }
  echo "$lock" >"$stamp"
}

mirror_node_modules() {
  local version
  version=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null) || version=0
  [ "$version" -ge 20 ] || { mirror_fail 'Node.js' "version 20 or later is needed, found $(node -v 2>/dev/null || echo none)" 'Install Node.js 20 or later.'; return 1; }
  mirror_locked "npm-$(printf %s "$MIRROR_ROOT" | sha256sum | cut -c1-12)" mirror_node_modules_locked
}

# The other line of cdktf, as docs/how-to/move-to-cdktn.md says, kept by the versions of everything that main.ts imports.
MIRROR_CDKTN=0.24.0

mirror_cdktn_package() {
  node -e '
    const { name, private: own, dependencies, overrides } = require(process.argv[1]);
    dependencies.cdktf = `npm:cdktn@${process.argv[2]}`;
    console.log(JSON.stringify({ name, private: own, dependencies, overrides: { ...overrides, cdktf: "$cdktf" } }, null, 2));
  ' "$MIRROR_ROOT/package.json" "$MIRROR_CDKTN"
}

mirror_cdktn_locked() { # directory
  [ ! -e "$1/.complete" ] || return 0
  rm -rf "$1"
  mkdir -p "$1"
  mirror_cdktn_package >"$1/package.json"
  mirror_step "installing cdktn $MIRROR_CDKTN" npm install --prefix "$1" --no-audit --no-fund --ignore-scripts --loglevel=error ||
    { mirror_fail cdktn 'npm could not install it' 'Is the npm registry in reach? npm ping tells. Then run this again.'; return 1; }
  touch "$1/.complete"
}

mirror_cdktn() {
  local directory
  directory="$MIRROR_CACHE/cdktn/$(mirror_cdktn_package | sha256sum | cut -c1-12)"
  mirror_locked cdktn mirror_cdktn_locked "$directory" && echo "$directory"
}

# ---- Terraform --------------------------------------------------------------------------------------------------------------------------

mirror_terraform_usable() { # path: is it 1.5 or later?
  local version
  version=$(CHECKPOINT_DISABLE=1 TF_CLI_CONFIG_FILE=/dev/null "$1" version 2>/dev/null | sed -n 's/^Terraform v\([0-9]*\.[0-9]*\).*/\1/p')
  [ -n "$version" ] && [ "$(printf '1.5\n%s\n' "$version" | sort -V | head -n 1)" = 1.5 ]
}

mirror_require_go() {
  command -v go >/dev/null || mirror_fail "$1" 'it has to be built, and there is no Go on this machine' 'Install Go 1.21 or later, or Terraform 1.5 or later with the Terraform registry in reach.'
}

mirror_go_install() { # module@version, directory for the program
  mkdir -p "$2"
  GOBIN="$2" GOFLAGS=-mod=mod go install "$1"
}

mirror_terraform_locked() {
  [ ! -x "$MIRROR_CACHE/bin/terraform" ] || return 0
  mirror_require_go Terraform || return 1
  mirror_step 'building Terraform 1.5.7 with Go' mirror_go_install github.com/hashicorp/terraform@v1.5.7 "$MIRROR_CACHE/bin" ||
    mirror_fail Terraform 'go install failed' 'See the lines above; or put Terraform 1.5 or later on PATH.'
}

mirror_terraform() {
  local found
  found=$(command -v terraform || true)
  if [ -n "$found" ] && mirror_terraform_usable "$found"; then return 0; fi
  mirror_locked terraform mirror_terraform_locked
}

# Reachable or not, remembered for half a day: asking takes five seconds where nothing answers.
mirror_registry_answers() {
  local verdict="$MIRROR_CACHE/terraform/registry"
  if [ ! -f "$verdict" ] || [ -n "$(find "$verdict" -mmin +720)" ]; then
    mkdir -p "$MIRROR_CACHE/terraform"
    if curl -fsS -m 5 -o /dev/null https://registry.terraform.io/.well-known/terraform.json 2>/dev/null; then echo yes; else echo no; fi >"$verdict.new.$$"
    mv "$verdict.new.$$" "$verdict"
  fi
  [ "$(cat "$verdict")" = yes ]
}

mirror_build_provider() { # name, version, module@version
  local directory target
  directory="$MIRROR_CACHE/terraform/mirror/registry.terraform.io/hashicorp/$1/$2/$(go env GOOS)_$(go env GOARCH)"
  target="$directory/terraform-provider-$1_v$2"
  [ ! -x "$target" ] || return 0
  mirror_step "building Terraform's provider $1 $2 with Go" mirror_go_install "$3" "$MIRROR_CACHE/terraform/build" ||
    { mirror_fail "provider $1" 'go install failed, and registry.terraform.io does not answer' "See the lines above. The provider's module: $3"; return 1; }
  mkdir -p "$directory"
  mv "$MIRROR_CACHE/terraform/build/terraform-provider-$1" "$target"
}

# HashiCorp's own code, at the two commits that the Go module proxy serves.
mirror_providers_locked() {
  local config="$MIRROR_CACHE/terraform/cli.tfrc"
  [ ! -f "$config" ] || return 0
  mirror_require_go "Terraform's providers" || return 1
  mirror_build_provider null 2.1.2 github.com/terraform-providers/terraform-provider-null@v1.0.1-0.20190430203517-8d3d85a60e20 || return 1
  mirror_build_provider local 2.9.0 github.com/terraform-providers/terraform-provider-local@v1.4.1-0.20260513075820-3561e410f9fe || return 1
  printf 'disable_checkpoint = true\nprovider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$MIRROR_CACHE/terraform/mirror" >"$config.new"
  mv "$config.new" "$config"
}

mirror_providers() {
  mirror_registry_answers || mirror_locked terraform mirror_providers_locked
}

# Exports the variables, and their names in MIRROR_TERRAFORM_ENV for `lab env`.
mirror_terraform_env() {
  local found
  export CHECKPOINT_DISABLE=1
  MIRROR_TERRAFORM_ENV='CHECKPOINT_DISABLE'
  if ! mirror_registry_answers; then
    export TF_CLI_CONFIG_FILE="$MIRROR_CACHE/terraform/cli.tfrc"
    # The two versions that can be built are not the ones that users get: the app widens its pins when told.
    export MIRROR_PROVIDERS=any
    MIRROR_TERRAFORM_ENV+=' TF_CLI_CONFIG_FILE MIRROR_PROVIDERS'
  fi
  found=$(command -v terraform || true)
  if [ -z "$found" ] || ! mirror_terraform_usable "$found"; then
    export TERRAFORM_BINARY_NAME="$MIRROR_CACHE/bin/terraform"
    export PATH="$MIRROR_CACHE/bin:$PATH"
    MIRROR_TERRAFORM_ENV+=' TERRAFORM_BINARY_NAME PATH'
  fi
  export MIRROR_TERRAFORM_ENV
}

# ---- Workflow files ---------------------------------------------------------------------------------------------------------------------

mirror_actionlint_locked() {
  [ ! -x "$MIRROR_CACHE/bin/actionlint-1.7.7" ] || return 0
  command -v go >/dev/null || {
    mirror_fail actionlint 'it has to be built, and there is no Go on this machine' 'Install Go 1.21 or later.'
    return 1
  }
  mirror_step 'building actionlint 1.7.7 with Go' mirror_go_install github.com/rhysd/actionlint/cmd/actionlint@v1.7.7 "$MIRROR_CACHE/actionlint" ||
    { mirror_fail actionlint 'go install failed' 'See the lines above: the Go module proxy must be in reach.'; return 1; }
  mkdir -p "$MIRROR_CACHE/bin"
  mv "$MIRROR_CACHE/actionlint/actionlint" "$MIRROR_CACHE/bin/actionlint-1.7.7"
}

mirror_actionlint() {
  mirror_debian_packages shellcheck && mirror_locked actionlint mirror_actionlint_locked
}

# ---- An ACME server for the lab ---------------------------------------------------------------------------------------------------------

mirror_pebble_locked() {
  [ ! -x "$MIRROR_CACHE/bin/pebble-2.7.0" ] || return 0
  command -v go >/dev/null || {
    mirror_fail Pebble 'it has to be built, and there is no Go on this machine' 'Install Go 1.21 or later.'
    return 1
  }
  mirror_step 'building Pebble 2.7.0 with Go' mirror_go_install github.com/letsencrypt/pebble/v2/cmd/pebble@v2.7.0 "$MIRROR_CACHE/pebble" ||
    { mirror_fail Pebble 'go install failed' 'See the lines above: the Go module proxy must be in reach.'; return 1; }
  mkdir -p "$MIRROR_CACHE/bin"
  mv "$MIRROR_CACHE/pebble/pebble" "$MIRROR_CACHE/bin/pebble-2.7.0"
}

mirror_pebble() {
  mirror_locked pebble mirror_pebble_locked
}

# ---- dist/ ------------------------------------------------------------------------------------------------------------------------------

mirror_build_locked() { # group
  local stamp="$MIRROR_ROOT/dist/.built-$1"
  if [ -f "$stamp" ] && [ -z "$(find "$MIRROR_ROOT" \( -name node_modules -o -name dist -o -name cdktf.out -o -name .git -o -name __tests__ \) -prune -o \
    \( -name '*.ts' -o -name build.mjs -o -name package-lock.json \) -newer "$stamp" -print -quit)" ]; then return 0; fi
  mkdir -p "$MIRROR_ROOT/dist"
  touch "$stamp.new"
  mirror_step "bundling dist/ ($1)" node "$MIRROR_ROOT/scripts/build.mjs" --only "$1" ||
    { mirror_fail 'dist/' 'the bundle could not be built' 'See the lines above; npm run typecheck says more.'; return 1; }
  mv "$stamp.new" "$stamp"
}

mirror_build() {
  mirror_locked "build-$(printf %s "$MIRROR_ROOT" | sha256sum | cut -c1-12)" mirror_build_locked "$1"
}
