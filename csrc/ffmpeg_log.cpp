#include "ffmpeg_log.h"

#include <cstdarg>
#include <cstring>

// The RTP demuxer reports a jump of the sequence numbers on the thread that reads, and marks no packet.

namespace acfd {
namespace {

constexpr char kMissed[] = "RTP: missed %d packets\n";

thread_local std::int64_t missed = 0;

}  // namespace
}  // namespace acfd

extern "C" {

static void acfd_note_ffmpeg_log(void*, int, const char* format, std::va_list values) {
  if (format != nullptr && std::strcmp(format, acfd::kMissed) == 0) acfd::missed += va_arg(values, int);
}
}

namespace acfd {

std::uintptr_t ffmpeg_log_callback() { return reinterpret_cast<std::uintptr_t>(&acfd_note_ffmpeg_log); }

std::int64_t missed_rtp_packets() { return missed; }

}  // namespace acfd
