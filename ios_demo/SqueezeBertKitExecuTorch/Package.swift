// swift-tools-version: 6.0

import PackageDescription

let package = Package(
  name: "SqueezeBertKitExecuTorch",
  platforms: [.iOS(.v17), .macOS(.v14)],
  products: [.library(name: "SqueezeBertKitExecuTorch", targets: ["SqueezeBertKitExecuTorch"])],
  dependencies: [
    .package(path: "../SqueezeBertKit"),
    // The branch whose binaries are of the release that exports (pyproject.toml), see `ExecuTorchEngine.version`.
    .package(url: "https://github.com/pytorch/executorch.git", branch: "swiftpm-1.5.1"),
  ],
  targets: [
    .target(
      name: "SqueezeBertKitExecuTorch",
      dependencies: [
        "ExecuTorchThreads",
        .product(name: "SqueezeBertKit", package: "SqueezeBertKit"),
        .product(name: "executorch", package: "executorch"),
        .product(name: "backend_xnnpack", package: "executorch"),
        .product(name: "kernels_optimized", package: "executorch"),
        .product(name: "kernels_quantized", package: "executorch"),
      ]),
    .target(
      name: "ExecuTorchThreads", dependencies: [.product(name: "backend_xnnpack", package: "executorch")]),
  ],
  cxxLanguageStandard: .cxx17
)
