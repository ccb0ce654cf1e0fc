import CoppiceModels
import CoppiceNetworks
import CoppiceTensors

/// The layers of a residual network one after the other, without the shortcuts around its blocks: the plain network of
/// the same depth and widths (He et al., "Deep residual learning for image recognition", 2016, section 3.3). Where a
/// block was removed, what entered it goes on as it is.
package final class PlainNetwork: Module, SupervisedNetwork {
    @Submodule private var layers: ResNet

    /// - Parameter network: becomes part of this one, whose tensors have the same names in the same order.
    /// - Throws: `.badData` for a network that is no ``ResNet`` of padded shortcuts: others have parameters in them.
    package init(_ network: any VisionNetwork) throws {
        guard let layers = network as? ResNet, layers.configuration.shortcut == .padded else {
            throw CoppiceError(
                .badData, field: "architecture",
                "\(network.configuration.name) has no plain counterpart, expected a ResNet with padded shortcuts")
        }
        _layers = Submodule("", layers)
        super.init()
    }

    /// `[images, channels, rows, columns]` → `[images, classes]`.
    package func outputs(_ inputs: Tensor) -> Tensor {
        var x = layers.stem(inputs.channelsLast())
        for block in layers.stages.flatMap(\.wrappedValue) {
            for unit in block.units { x = unit.wrappedValue(x) }
        }
        return layers.classifier(x.mean(axes: [-2, -1]))
    }
}
