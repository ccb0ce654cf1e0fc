import Foundation

extension ImageStudy {
    /// The file of a ResNet-20 that is trained on CIFAR-10, for experiments that prune one without training it first.
    /// Nil where the data folder has none.
    ///
    /// Names are relative to the data folder: of a published network's weights, alone or in a folder, and of what
    /// `coppice train` writes with `--output resnet20`.
    static func trainedResidual(in setting: ExperimentSetting) -> String? {
        guard let folder = setting.dataFolder else { return nil }
        return ["resnet-cifar/resnet20.safetensors", "resnet20.safetensors", "resnet20/model.safetensors"]
            .map { folder + "/" + $0 }.first { FileManager.default.fileExists(atPath: $0) }
    }
}
