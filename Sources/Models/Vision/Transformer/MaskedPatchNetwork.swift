import CoppiceNetworks
import CoppiceTensors

/// A vision transformer that is trained without labels: it fills patches that are hidden from it.
///
/// A learned vector stands in a hidden patch's place and a linear layer predicts its pixels (Xie et al., "SimMIM: a simple
/// framework for masked image modeling", 2022), which are standardized patch by patch (He et al., "Masked autoencoders
/// are scalable vision learners", 2022, section 3).
///
/// ```swift
/// let network = MaskedPatchNetwork(configuration, seed: 1)
/// let loss = network.loss(LabeledBatch(inputs: images, targets: isHidden))     // [images, patches] of 0 and 1
/// ```
///
/// Its encoder's parameters have the names that they have in a ``VisionTransformer``.
public final class MaskedPatchNetwork: Module, SupervisedNetwork {
    public let configuration: VisionTransformer.Configuration
    @Submodule public var encoder: PatchEncoder
    /// [1, 1, width].
    @Parameter public var maskToken: Tensor
    @Submodule public var decoder: Linear

    /// A network with random weights, those of the encoder as a ``VisionTransformer`` of the seed has them.
    public init(_ configuration: VisionTransformer.Configuration, seed: UInt64 = 0) {
        var layers = LayerBuilder(configuration.options, seed: seed)
        self.configuration = configuration
        let encoder = PatchEncoder(configuration, &layers)
        let (width, patch) = (configuration.embeddingSize, configuration.patchSize)
        _encoder = Submodule("", encoder)
        _maskToken = Parameter("mask_token", layers.weight([1, 1, width], fanIn: width, fanOut: width, .normal(0.02)))
        _maskToken.decays = false
        _decoder = Submodule(
            "decoder", layers.linear(width, configuration.inputChannels * patch * patch, start: .normalByBoth))
    }

    /// The pixels of all patches, of which none is hidden: images `[images, channels, rows, columns]` → standardized
    /// `[images, patches, channels · rows · columns of a patch]`.
    public func outputs(_ inputs: Tensor) -> Tensor { pixels(encoder(inputs)) }

    /// The mean squared error of the pixels of hidden patches, each patch standardized; zero where none is hidden.
    ///
    /// - Parameter batch: images, and for each of its patches row by row whether it is hidden: integers 0 and 1
    ///   `[images, patches]`.
    public func loss(_ batch: LabeledBatch) -> Tensor {
        let isHidden = batch.targets.converted(to: maskToken.dataType).expanded(at: 2)
        let predicted = pixels(encoder(batch.inputs, hidden: HiddenPatches(isHidden: isHidden, substitute: maskToken)))
        let errors = (predicted - standardizedPatches(of: batch.inputs)).square().mean(
            axes: [2], keepingDimensions: true)
        let count = max(1, batch.targets.integers().reduce(0, +))
        return (errors * isHidden).sum() / Double(count)
    }

    private func pixels(_ tokens: Tensor) -> Tensor { decoder(tokens.slice(axis: 1, 1..<tokens.shape[1])) }

    /// The pixels of patches, each patch less its mean and over its deviation.
    func standardizedPatches(of images: Tensor) -> Tensor {
        let (count, channels, patch) = (images.shape[0], images.shape[1], configuration.patchSize)
        let (rows, columns) = (images.shape[2] / patch, images.shape[3] / patch)
        return withoutRecording {
            let pixels = images.detached().converted(to: maskToken.dataType)
                .reshaped([count, channels, rows, patch, columns, patch]).permuted([0, 2, 4, 1, 3, 5])
                .reshaped([count, rows * columns, channels * patch * patch])
            let deviation = pixels - pixels.mean(axes: [2], keepingDimensions: true)
            let variance = deviation.square().mean(axes: [2], keepingDimensions: true)
            return deviation * (variance + 1e-6).reciprocalSquareRoot()
        }
    }
}
