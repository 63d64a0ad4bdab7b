// Values between row-major float32 on the host and the bytes they have on the device.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "engine/plan/plan.h"

namespace konv::run {

/// The value's device bytes (channels_last, float32 or float16, pad lanes zero) for these row-major elements.
std::vector<std::byte> to_device_bytes(const plan::Value& value, std::span<const float> elements);

/// Row-major elements of device bytes, images or plain float32.
std::vector<float> from_device_bytes(const plan::Value& value, std::span<const std::byte> bytes);

}  // namespace konv::run
