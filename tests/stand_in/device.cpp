// A device that stands for a GPU where there is none: its tensors lie in the CPU's memory, and its operations are the
// CPU's, but as on a GPU
// - tensors of the device and of the CPU do not mix, except for numbers without dimensions, and for places;
// - random numbers come from generators of the device, whose states are of another size than the CPU's.
// https://docs.pytorch.org/tutorials/advanced/privateuseone.html describes how PyTorch is extended by a device.

#include <torch/extension.h>
#include <torch/library.h>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_local_scalar_dense_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_cpu_dispatch.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/ScopeExit.h>

#include <cstring>
#include <string>
#include <unordered_set>

namespace {

using at::Tensor;
using Sizes = c10::SymIntArrayRef;

constexpr auto KIND = c10::DeviceType::PrivateUse1;
const c10::Device DEVICE(KIND, 0);
const c10::DispatchKeySet KEYS(c10::DispatchKey::PrivateUse1);
const size_t STATE = 16;  // further bytes of a generator's state

int64_t operations = 0;

c10::Stream default_stream() { return c10::Stream(c10::Stream::DEFAULT, DEVICE); }

struct Guard final : c10::impl::NoOpDeviceGuardImpl<KIND> {
  c10::Device getDevice() const override { return DEVICE; }
  c10::Device exchangeDevice(c10::Device) const override { return DEVICE; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Stream getStream(c10::Device) const noexcept override { return default_stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return default_stream(); }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
  bool queryStream(const c10::Stream&) const override { return true; }
  void synchronizeStream(const c10::Stream&) const override {}
  void synchronizeDevice(const c10::DeviceIndex) const override {}
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    void* place = size ? std::aligned_alloc(64, (size + 63) / 64 * 64) : nullptr;
    return {place, place, &std::free, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t size) const override { std::memcpy(to, from, size); }
};
Memory memory;
REGISTER_ALLOCATOR(KIND, &memory);

struct Generator final : at::CPUGeneratorImpl {
  Generator() { become(KIND); }
  // The CPU's operations take the CPU's generators only.
  void become(c10::DeviceType kind) {
    device_ = kind == KIND ? DEVICE : c10::Device(c10::kCPU);
    key_set_ = kind == KIND ? KEYS : c10::DispatchKeySet(c10::DispatchKey::CPU);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    Tensor own{at::CPUGeneratorImpl::get_state()};
    return at::cat({own, at::zeros({STATE}, own.options())}).getIntrusivePtr();
  }
  void set_state(const c10::TensorImpl& state) override {
    Tensor given{state.shallow_copy_and_detach(c10::VariableVersion(0), true)};
    const auto size = Tensor{at::CPUGeneratorImpl::get_state()}.numel();
    TORCH_CHECK(given.is_cpu() && given.numel() == size + static_cast<int64_t>(STATE), "RNG state is wrong size");
    at::CPUGeneratorImpl::set_state(*given.slice(0, 0, size).clone().unsafeGetTensorImpl());
  }
};

at::Generator new_generator() {
  auto made = at::make_generator<Generator>();
  made.set_current_seed(c10::detail::getNonDeterministicRandom());
  return made;
}

struct Hooks final : at::PrivateUse1HooksInterface {
  void init() const override {}
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool isPinnedPtr(const void*) const override { return false; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    static const at::Generator one = new_generator();
    return one;
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override { return new_generator(); }
};

Tensor empty(c10::IntArrayRef size, std::optional<c10::ScalarType> dtype, std::optional<c10::Layout>,
             std::optional<c10::Device>, std::optional<bool>, std::optional<c10::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, KEYS, c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride, std::optional<c10::ScalarType> dtype,
                     std::optional<c10::Layout>, std::optional<c10::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, KEYS, c10::dtype_or_default(dtype));
}

Tensor as_strided(const Tensor& self, Sizes size, Sizes stride, std::optional<c10::SymInt> offset) {
  return at::cpu::as_strided_symint(self, size, stride, offset);
}

const Tensor& resize_(const Tensor& self, Sizes size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(self, C10_AS_INTARRAYREF_SLOW(size), format);
}

Tensor reshape_alias(const Tensor& self, Sizes size, Sizes stride) {
  return at::native::_reshape_alias(self, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride));
}

Tensor view(const Tensor& self, Sizes size) { return at::native::view(self, C10_AS_INTARRAYREF_SLOW(size)); }

Tensor& set_tensor(Tensor& self, const Tensor& source) { return at::native::set_tensor_(self, source); }

Tensor& set_storage(Tensor& self, at::Storage source) { return at::native::set_(self, source); }

Tensor& set_storage_at(Tensor& self, at::Storage source, int64_t offset, c10::IntArrayRef size,
                       c10::IntArrayRef stride) {
  return at::cpu::set_(self, source, offset, size, stride);
}

// The same memory as a tensor of the CPU.
Tensor on_cpu(const Tensor& tensor) {
  if (!tensor.defined() || tensor.is_cpu()) return tensor;
  auto options = tensor.options().device(at::kCPU);
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
}

Tensor on_device(const Tensor& tensor) { return tensor.defined() ? tensor.to(DEVICE) : tensor; }

Tensor copy_from(const Tensor& self, const Tensor& target, bool) {
  if (target.numel() > 0) on_cpu(target).copy_(on_cpu(self));
  return target;
}

Tensor copy_from_and_resize(const Tensor& self, const Tensor& target) {
  at::native::resize_(target, self.sizes(), std::nullopt);
  return copy_from(self, target, false);
}

at::Scalar number_of(const Tensor& self) { return at::native::_local_scalar_dense_cpu(self); }

void check_device(const std::string& operation, const Tensor& tensor) {
  TORCH_CHECK(!tensor.defined() || tensor.device() == DEVICE || tensor.dim() == 0, "expected all tensors on ", DEVICE,
              ", but ", operation, " got one of shape ", tensor.sizes(), " on ", tensor.device());
}

// Runs an operation on the CPU, whose results are copied back.
void run_on_cpu(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  static const std::unordered_set<std::string> TAKES_PLACES{
      "aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"};
  ++operations;
  const auto& name = op.schema().name();
  std::vector<Generator*> generators;
  for (const auto& value : torch::jit::last(*stack, op.schema().arguments().size())) {
    if (value.isGenerator()) {
      TORCH_CHECK(value.toGenerator().device() == DEVICE, name, " got a generator of the CPU");
      generators.push_back(static_cast<Generator*>(value.toGenerator().unsafeGetGeneratorImpl()));
    } else if (TAKES_PLACES.count(name) == 0 && value.isTensor()) {
      check_device(name, value.toTensor());
    } else if (TAKES_PLACES.count(name) == 0 && value.isTensorList()) {
      for (const Tensor& tensor : value.toTensorList()) check_device(name, tensor);
    }
  }
  for (auto* generator : generators) generator->become(c10::kCPU);
  const auto back = c10::make_scope_exit([&] {
    for (auto* generator : generators) generator->become(KIND);
  });
  at::native::cpu_fallback(op, stack);
}

Tensor convolve(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias, Sizes stride,
                Sizes padding, Sizes dilation, bool transposed, Sizes output_padding, c10::SymInt groups) {
  ++operations;
  check_device("convolution", input);
  check_device("convolution", weight);
  std::optional<Tensor> added;
  if (bias && bias->defined()) {
    check_device("convolution", *bias);
    added = on_cpu(*bias);
  }
  return on_device(at::convolution_symint(on_cpu(input), on_cpu(weight), added, stride, padding, dilation, transposed,
                                          output_padding, groups));
}

std::tuple<Tensor, Tensor, Tensor> convolve_backward(const Tensor& gradient, const Tensor& input,
                                                     const Tensor& weight, Sizes stride, Sizes padding, Sizes dilation,
                                                     bool transposed, Sizes output_padding, c10::SymInt groups,
                                                     std::array<bool, 3> mask) {
  ++operations;
  for (const auto& tensor : {gradient, input, weight}) check_device("the gradient of a convolution", tensor);
  const std::vector<c10::SymInt> bias{transposed ? weight.size(1) * groups : c10::SymInt(weight.size(0))};
  auto found = at::convolution_backward_symint(on_cpu(gradient), on_cpu(input), on_cpu(weight), Sizes(bias), stride,
                                               padding, dilation, transposed, output_padding, groups, mask);
  return {on_device(std::get<0>(found)), on_device(std::get<1>(found)), on_device(std::get<2>(found))};
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_cpu>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", empty);
  library.impl("empty_strided", empty_strided);
  library.impl("as_strided", as_strided);
  library.impl("resize_", resize_);
  library.impl("_reshape_alias", reshape_alias);
  library.impl("view", view);
  library.impl("set_.source_Tensor", set_tensor);
  library.impl("set_.source_Storage", set_storage);
  library.impl("set_.source_Storage_storage_offset", set_storage_at);
  library.impl("_copy_from", copy_from);
  library.impl("_copy_from_and_resize", copy_from_and_resize);
  library.impl("_local_scalar_dense", number_of);
  library.impl("convolution_overrideable", convolve);
  library.impl("convolution_backward_overrideable", convolve_backward);
}

// Mixed precision: products in 16 bits, as CUDA's.
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  KERNEL_PRIVATEUSEONE(linear, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(mm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(bmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(matmul, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(addmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(baddbmm, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(conv2d, lower_precision_fp)
  KERNEL_PRIVATEUSEONE(cross_entropy_loss, fp32)
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  at::RegisterPrivateUse1HooksInterface(new Hooks());
  m.def("operations", [] { return operations; });
}
