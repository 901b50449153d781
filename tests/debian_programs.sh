#!/usr/bin/env bash
# debian_programs.sh FOLDER: gets the programs of Debian that tests drive, where they are missing and apt-get may be used.
# Prometheus is unpacked into FOLDER instead of installed, so that no daemon starts; Chromium is installed, for its
# libraries, and FFmpeg, for ffprobe. Never fails: without them, their tests are skipped (and fail where CI=true).
set -euo pipefail
folder=$1
export PATH="$folder/usr/bin:$PATH"

missing=()
{ command -v prometheus && command -v promtool; } > /dev/null || missing+=(prometheus)
{ command -v chromium || command -v google-chrome; } > /dev/null || missing+=(chromium)
command -v ffprobe > /dev/null || missing+=(ffmpeg)
((${#missing[@]})) || exit 0

as_root=()
[[ $(id -u) == 0 ]] || as_root=(sudo -n)
if ! command -v apt-get > /dev/null || ! "${as_root[@]}" true 2> /dev/null; then
  echo "not installed: ${missing[*]}; apt-get cannot be used here, so the tests that drive them are skipped"
  exit 0
fi
echo "getting ${missing[*]} with apt-get, for the tests that drive them"
"${as_root[@]}" apt-get update -qq || true

unpack() {
  local packages
  packages=$(mktemp -d)
  (cd "$packages" && apt-get download -qq -o APT::Sandbox::User="$(id -un)" "$1" && mkdir -p "$folder" && dpkg -x ./*.deb "$folder")
  rm -rf "$packages"
}
install() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends "$1" > /dev/null; }

for program in "${missing[@]}"; do
  if [[ $program == prometheus ]]; then unpack prometheus; else install "$program"; fi \
    || echo "apt-get has no $program: its tests are skipped"
done
