import ArgumentParser
import CoppiceInference
import CoppiceModels

/// `coppice inspect`: what a model consists of.
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Show a model's configuration and tensors.")

    @OptionGroup var model: ModelArgument
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let inventory = try ModelInventory(AnyCheckpoint.open(model.path), kernels: TunedKernels.load())
        if common.json { try Output.json(inventory.json) } else { try Output.line(inventory.text) }
    }
}
