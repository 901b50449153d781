// Lets FFmpeg decode into memory that another process sees.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acfd {

// From now on the FFmpeg library that holds the function at `av_malloc` takes blocks of `least_bytes` and more from
// the `bytes` at `begin`, as long as there is room for them. Once per process, before it decodes. False: this system's
// way to link libraries is not known, and nothing has changed.
bool share_ffmpeg_memory(std::uintptr_t av_malloc, std::uintptr_t begin, std::size_t bytes, std::size_t least_bytes);

// Bytes of the blocks in that memory.
std::size_t shared_ffmpeg_bytes();

}  // namespace acfd
