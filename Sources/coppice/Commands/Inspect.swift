import ArgumentParser
import CoppiceCompression
import CoppiceInference
import CoppiceModels

/// `coppice inspect`: what a model consists of, or what a mask removes.
struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show a model's configuration and tensors, or what a mask file keeps of each matrix.")

    @OptionGroup var model: ModelArgument
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        if MaskFile.isMaskFile(try model.path) {
            let mask = try MaskInventory(path: model.path, file: .read(model.path))
            return try common.json ? Output.json(mask.json) : Output.line(mask.text)
        }
        let inventory = try ModelInventory(AnyCheckpoint.open(model.path), kernels: TunedKernels.load())
        if common.json { try Output.json(inventory.json) } else { try Output.line(inventory.text) }
    }
}
