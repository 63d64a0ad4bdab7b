// Where values lie: strides from layouts, slots of one arena by lifetimes.
#pragma once

#include "engine/plan/plan.h"

namespace konv::plan {

inline constexpr std::int64_t kAlignment = 64;

/// Sets bytes, start and strides of an arena value from its dims and layout: [N][C/block][top + H + bottom][left + W + right][block] for images
/// with a block or a halo, row-major otherwise.
void lay_out(Value& value);

/// Row-major strides.
Ints dense_strides(const Dims& dims);

/// Lets elementwise steps work in place: their output becomes a view of an operand that lies alike and that nobody reads afterwards. Layouts are final.
void share_slots(Plan& plan);

/// Gives every arena value an offset so that values alive at the same time do not overlap, and sets arena_bytes. Inputs are alive from the start, outputs
/// to the end, a view's parent as long as the view. Greedy by size (Pisarchyk and Lee, arXiv 2001.03288).
/// Where the arena then has no more than `room_for_halos` bytes, values with a halo share their place only with values that lie alike.
void assign_offsets(Plan& plan, std::int64_t room_for_halos = 0);

/// Leaves out halo fills of values that lie where an earlier one with the same halo lay, if nothing else was written there since; those of values that lie
/// where nothing else ever is become part of Plan::once. Steps write no halo but what halo fills do. Offsets are assigned.
void drop_halo_fills(Plan& plan);

/// The arena value that `value` is part of, itself if it is none's.
int root(const Plan& plan, int value);

}  // namespace konv::plan
