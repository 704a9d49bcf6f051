import SqueezeBertKit

/// Computes nothing that a model does, so that a job can be done where there is no Core ML.
struct StandIn: Engine {
  let format = "coreml"
  let runtime = Runtime(name: "coreml", version: "stand-in", runner: "app", libc: "glibc")

  func load(_ bundle: ModelBundle, _ settings: Settings) async throws -> sending any Classifier {
    try settings.requireChoosable(units: coreMLUnits)
    return Sums(outputs: bundle.manifest.outputs)
  }
}

private struct Sums: Classifier {
  let outputs: [TensorSpec]

  func run(_ features: Features, entryPoint: String) throws -> [String: [Float]] {
    let sum = Float(try features.input("input_ids").reduce(0, +))
    return Dictionary(
      uniqueKeysWithValues: outputs.map { output in
        let count = output.shape.reduce(1) { $0 * ($1 ?? features.length) }
        return (output.name, (0..<count).map { sum + Float($0) })
      })
  }
}

/// A device whose times are no evidence.
struct StandInDevice: DeviceFacts {
  let isEmulated = true
  let device = Device(
    kind: "ios", name: "stand-in", os: systemVersion(), architecture: "none", cpus: 1,
    unknown: ["soc": reason, "clusters": reason, "memory_bytes": reason])

  func state() async -> DeviceState {
    DeviceState(thermalStatus: nil, battery: nil, charging: nil, lowPowerMode: nil, reason: reason)
  }
}

private let reason = "this is no phone"
