import CoppiceModels
import CoppiceNetworks

/// Makes what dropout draws a function of the step.
package final class DropoutSteps: TrainingHook {
    private let layers: [DropoutLayer]

    package init(_ network: Module) { layers = network.modules.compactMap { $0.module as? DropoutLayer } }

    package func willStep(_ step: Int) { for layer in layers { layer.begin(step: step) } }
}
