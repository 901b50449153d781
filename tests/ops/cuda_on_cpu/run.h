// Blocks one after the other, their threads as fibers that hand over at meetings only.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <functional>
#include <memory>

#include "cuda.h"

namespace on_cpu {

constexpr std::size_t kStackBytes = 64 * 1024;

struct Fiber {
  ucontext_t context;
  jmp_buf place;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
  bool is_begun = false, is_done = false;
};

// One block at a time. Fibers are made once and used again for every block.
class Block {
 public:
  static Block& current() {
    static Block block;
    return block;
  }

  void run(unsigned threads, unsigned shared_bytes, Random& random, const std::function<void()>& body) {
    while (fibers_.size() < threads) fibers_.push_back(std::make_unique<Fiber>());
    body_ = &body;
    random_ = &random;
    shared_.resize(shared_bytes / 16 + 1);
    random.fill(reinterpret_cast<char*>(shared_.data()), reinterpret_cast<char*>(shared_.data() + shared_.size()));
    random.fill(__start_acfd_shared, __stop_acfd_shared);
    gather(threads);
    unsigned done = 0;
    while (done < threads) {
      if (ready_.empty()) give_up("threads wait at a barrier that others do not come to");
      const unsigned pick = random.below(static_cast<unsigned>(ready_.size()));
      const unsigned thread = ready_[pick];
      ready_[pick] = ready_.back();
      ready_.pop_back();
      resume(thread);
      if (!failure_.empty()) give_up(std::exchange(failure_, {}));
      done += fibers_[thread]->is_done;
    }
  }

  const std::vector<std::uint64_t>& meet(Meeting kind, std::uint64_t value) {
    const bool is_of_block = kind == Meeting::kBlock || kind == Meeting::kAny;
    Group& group = is_of_block ? block_ : warps_[running_ / kWarpSize];
    const unsigned row = group.meetings % 2;
    group.values[row][running_ - group.members.front()] = value;
    if (group.here == 0) group.kind = kind;
    if (group.kind != kind) fail("threads of one group meet at different places");
    if (++group.here < group.members.size()) {
      hand_over();
      return group.values[row];
    }
    group.here = 0;
    ++group.meetings;
    for (const unsigned member : group.members) {
      if (member != running_) ready_.push_back(member);
    }
    return group.values[row];
  }

  char* shared() { return reinterpret_cast<char*>(shared_.data()); }

 private:
  struct alignas(16) Sixteen {
    char bytes[16];
  };

  void gather(unsigned threads) {
    require(threads % kWarpSize == 0, "a block of whole warps is wanted");
    block_ = group_of(0, threads);
    warps_.clear();
    for (unsigned first = 0; first < threads; first += kWarpSize) warps_.push_back(group_of(first, kWarpSize));
    ready_ = block_.members;
    for (const unsigned thread : ready_) fibers_[thread]->is_done = false;
  }

  static Group group_of(unsigned first, unsigned count) {
    Group group;
    for (unsigned k = 0; k < count; ++k) group.members.push_back(first + k);
    for (auto& row : group.values) row.resize(count);
    return group;
  }

  __attribute__((noinline)) void resume(unsigned thread) {
    running_ = thread;
    threadIdx = {thread, 0, 0};
    Fiber& fiber = *fibers_[thread];
    if (_setjmp(scheduler_) != 0) return;
    if (fiber.is_begun) _longjmp(fiber.place, 1);
    fiber.is_begun = true;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &Block::work, 0);
    setcontext(&fiber.context);
  }

  __attribute__((noinline)) void hand_over() {
    const unsigned own = running_;
    if (_setjmp(fibers_[own]->place) == 0) _longjmp(scheduler_, 1);
  }

  [[noreturn]] void give_up(const std::string& why) {
    fibers_.clear();  // they stand in the middle of a kernel
    throw std::logic_error(why);
  }

  void fail(const char* what) {
    failure_ = what;
    hand_over();
  }

  static void work() {  // what a fiber does for ever: its thread of this block, then of the next
    Block& block = current();
    while (true) {
      try {
        (*block.body_)();
      } catch (const std::exception& error) {
        block.failure_ = error.what();
      }
      block.fibers_[block.running_]->is_done = true;
      block.hand_over();
    }
  }

  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Sixteen> shared_;
  std::vector<unsigned> ready_;
  Group block_;
  std::vector<Group> warps_;
  const std::function<void()>* body_ = nullptr;
  Random* random_ = nullptr;
  unsigned running_ = 0;
  jmp_buf scheduler_;
  std::string failure_;
};

inline const std::vector<std::uint64_t>& meet(Meeting kind, std::uint64_t value) {
  return Block::current().meet(kind, value);
}

inline char* dynamic_shared() { return Block::current().shared(); }

}  // namespace on_cpu
