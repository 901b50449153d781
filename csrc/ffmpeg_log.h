// What FFmpeg says in its log only.
#pragma once

#include <cstdint>

namespace acfd {

// Address of a function for av_log_set_callback. It keeps no text and needs no lock, so that every thread may log.
std::uintptr_t ffmpeg_log_callback();

// RTP packets that FFmpeg reported as missing on this thread, since the callback was set.
std::int64_t missed_rtp_packets();

}  // namespace acfd
