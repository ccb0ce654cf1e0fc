import CoppiceTensors

/// A model in memory whose loss is measured under masks, always from the same dense weights.
public protocol MaskedModel: AnyObject {
    /// The matrices that are pruned, in the order of computation.
    var weights: [PrunableWeight] { get }
    /// Its attention heads, as parts of those matrices.
    var heads: AttentionHeads { get }
    /// The loss of a model that knows nothing, in nats.
    var chanceLoss: Double { get }
    /// A matrix as it was, f32 `[rows, columns]`.
    func values(_ index: Int) -> Tensor
    /// The mean loss of each part of the evaluation text in nats, under masks or dense.
    func losses(_ masks: [WeightMask]?) throws -> [Double]
    /// Gives the network its weights back.
    func restore()
}

extension MaskedDecoder: MaskedModel {}
extension FineTunedDecoder: MaskedModel {}
