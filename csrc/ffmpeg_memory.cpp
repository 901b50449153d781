#include "ffmpeg_memory.h"

#ifdef __linux__

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

// FFmpeg allocates with posix_memalign, realloc and free of the C library, called through a table of addresses that the
// dynamic linker fills. The entries of libavutil, and of it alone, are replaced by the functions below.

namespace acfd {
namespace {

constexpr std::size_t kAlignment = 64;  // at least what FFmpeg asks for

// Blocks in a stretch of memory. What describes them lies elsewhere: nothing that FFmpeg writes can damage it.
class Blocks {
 public:
  Blocks(unsigned char* begin, std::size_t bytes) : begin_(begin), bytes_(bytes), free_{{0, bytes}} {}

  bool holds(const void* block) const {
    const auto address = reinterpret_cast<std::uintptr_t>(block), begin = reinterpret_cast<std::uintptr_t>(begin_);
    return begin <= address && address < begin + bytes_;
  }

  // The first place that is large enough, so that few pages are in use; null if there is none.
  void* take(std::size_t bytes) {
    if (bytes > bytes_) return nullptr;
    bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(free_.begin(), free_.end(), [&](const auto& each) { return each.second >= bytes; });
    if (found == free_.end()) return nullptr;
    const auto [offset, room] = *found;
    free_.erase(found);
    if (room > bytes) free_[offset + bytes] = room - bytes;
    taken_[offset] = bytes;
    taken_bytes_ += bytes;
    return begin_ + offset;
  }

  void give_back(void* block) {
    const std::lock_guard lock(mutex_);
    const auto found = taken_.find(static_cast<unsigned char*>(block) - begin_);
    if (found == taken_.end()) std::abort();  // freed twice: as the C library does
    auto [offset, bytes] = *found;
    taken_.erase(found);
    taken_bytes_ -= bytes;
    auto next = free_.lower_bound(offset);
    if (next != free_.end() && next->first == offset + bytes) {
      bytes += next->second;
      next = free_.erase(next);
    }
    if (next != free_.begin() && std::prev(next)->first + std::prev(next)->second == offset) {
      std::prev(next)->second += bytes;
    } else {
      free_[offset] = bytes;
    }
  }

  std::size_t bytes_of(void* block) {
    const std::lock_guard lock(mutex_);
    return taken_.at(static_cast<unsigned char*>(block) - begin_);
  }

  std::size_t taken_bytes() {
    const std::lock_guard lock(mutex_);
    return taken_bytes_;
  }

 private:
  unsigned char* const begin_;
  const std::size_t bytes_;
  std::mutex mutex_;
  std::map<std::size_t, std::size_t> free_, taken_;  // offset → bytes
  std::size_t taken_bytes_ = 0;
};

Blocks* blocks = nullptr;  // lives as long as the process
std::size_t least = 0;

int shared_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  void* found = bytes >= least && alignment <= kAlignment ? blocks->take(bytes) : nullptr;
  if (found == nullptr) return posix_memalign(block, alignment, bytes);
  *block = found;
  return 0;
}

void shared_free(void* block) {
  if (blocks->holds(block)) {
    blocks->give_back(block);
  } else {
    std::free(block);
  }
}

// What grows is no picture and goes into private memory, which is limited.
void* shared_realloc(void* block, std::size_t bytes) {
  if (!blocks->holds(block)) return std::realloc(block, bytes);
  void* const moved = std::malloc(bytes);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, block, std::min(bytes, blocks->bytes_of(block)));
  blocks->give_back(block);
  return moved;
}

struct Replaced {
  const char* name;
  void* own;
};

const Replaced kReplaced[] = {
    {"posix_memalign", reinterpret_cast<void*>(&shared_memalign)},
    {"realloc", reinterpret_cast<void*>(&shared_realloc)},
    {"free", reinterpret_cast<void*>(&shared_free)},
};

#if __ELF_NATIVE_CLASS == 64
std::size_t symbol_of(ElfW(Xword) info) { return ELF64_R_SYM(info); }
#else
std::size_t symbol_of(ElfW(Word) info) { return ELF32_R_SYM(info); }
#endif

// The parts of a loaded library's dynamic section that name the functions it calls.
struct Calls {
  const ElfW(Sym) * symbols = nullptr;
  const char* names = nullptr;
  const ElfW(Rela) * entries = nullptr;
  std::size_t count = 0;
};

Calls calls_of(const dl_phdr_info& library) {
  Calls calls;
  const ElfW(Dyn)* part = nullptr;
  for (int i = 0; i < library.dlpi_phnum; ++i) {
    const auto& segment = library.dlpi_phdr[i];
    if (segment.p_type == PT_DYNAMIC) part = reinterpret_cast<const ElfW(Dyn)*>(library.dlpi_addr + segment.p_vaddr);
  }
  // glibc writes addresses into the section, musl leaves offsets.
  const auto address = [&](ElfW(Addr) value) { return value < library.dlpi_addr ? value + library.dlpi_addr : value; };
  for (; part != nullptr && part->d_tag != DT_NULL; ++part) {
    const auto value = part->d_un.d_ptr;
    if (part->d_tag == DT_SYMTAB) calls.symbols = reinterpret_cast<const ElfW(Sym)*>(address(value));
    if (part->d_tag == DT_STRTAB) calls.names = reinterpret_cast<const char*>(address(value));
    if (part->d_tag == DT_JMPREL) calls.entries = reinterpret_cast<const ElfW(Rela)*>(address(value));
    if (part->d_tag == DT_PLTRELSZ) calls.count = part->d_un.d_val / sizeof(ElfW(Rela));
    if (part->d_tag == DT_PLTREL && part->d_un.d_val != DT_RELA) return {};
  }
  return calls.symbols != nullptr && calls.names != nullptr && calls.entries != nullptr ? calls : Calls{};
}

// The entry of the table through which a library calls `name`; null if there is none.
void** entry_of(const Calls& calls, ElfW(Addr) base, const char* name) {
  for (std::size_t i = 0; i < calls.count; ++i) {
    const auto& entry = calls.entries[i];
    const auto& symbol = calls.symbols[symbol_of(entry.r_info)];
    if (std::strcmp(calls.names + symbol.st_name, name) == 0) return reinterpret_cast<void**>(base + entry.r_offset);
  }
  return nullptr;
}

bool make_writable(void** entry) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(entry) / page * page;
  return mprotect(reinterpret_cast<void*>(begin), page, PROT_READ | PROT_WRITE) == 0;
}

bool replace_calls(const dl_phdr_info& library) {
  const Calls calls = calls_of(library);
  void** entries[std::size(kReplaced)];
  for (std::size_t i = 0; i < std::size(kReplaced); ++i) {
    entries[i] = entry_of(calls, library.dlpi_addr, kReplaced[i].name);
    if (entries[i] == nullptr || !make_writable(entries[i])) return false;
  }
  for (std::size_t i = 0; i < std::size(kReplaced); ++i) *entries[i] = kReplaced[i].own;
  return true;
}

struct Search {
  std::uintptr_t inside;
  bool is_replaced;
};

int visit(dl_phdr_info* library, std::size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    const auto& segment = library->dlpi_phdr[i];
    const auto begin = library->dlpi_addr + segment.p_vaddr;
    if (segment.p_type != PT_LOAD || search.inside < begin || search.inside >= begin + segment.p_memsz) continue;
    search.is_replaced = replace_calls(*library);
    return 1;
  }
  return 0;
}

}  // namespace

bool share_ffmpeg_memory(std::uintptr_t av_malloc, std::uintptr_t begin, std::size_t bytes, std::size_t least_bytes) {
  if (blocks != nullptr) return false;
  blocks = new Blocks(reinterpret_cast<unsigned char*>(begin), bytes);
  least = least_bytes;
  Search search{av_malloc, false};
  dl_iterate_phdr(visit, &search);
  return search.is_replaced;
}

std::size_t shared_ffmpeg_bytes() { return blocks == nullptr ? 0 : blocks->taken_bytes(); }

}  // namespace acfd

#else

namespace acfd {

bool share_ffmpeg_memory(std::uintptr_t, std::uintptr_t, std::size_t, std::size_t) { return false; }

std::size_t shared_ffmpeg_bytes() { return 0; }

}  // namespace acfd

#endif
