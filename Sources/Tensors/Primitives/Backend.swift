/// What evaluates primitives: the one seam between tensors and a device.
///
/// Shapes and types were checked by the operations on ``Tensor`` that build primitives; results carry no record.
/// Views (permute, broadcast, slice, reshape of contiguous elements) share the storage of their input.
protocol Backend: Sendable {
    func evaluate(_ primitive: Primitive, _ inputs: [Tensor]) -> Tensor
}
