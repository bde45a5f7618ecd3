// OHIF's configuration: this server's DICOMweb, and this project's extension and mode, which OHIF imports as plain ES modules.

// OHIF adds its own modes to ours, and skips one whose id it has met: these are for other images than angiography
const UNWANTED = ['segmentation', 'tmtv', 'microscopy', 'preclinical-4d', 'monai-label'];
const withoutMode = name => ({ id: `@ohif/mode-${name}`, modeFactory: () => null });

window.config = {
  routerBasename: '/ohif/',
  showStudyList: true,
  extensions: ['/tavr/viewer/extension.js'],
  modes: ['/tavr/viewer/mode.js', ...UNWANTED.map(withoutMode)],
  investigationalUseDialog: { option: 'never' },
  showWarningMessageForCrossOrigin: false,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  useSharedArrayBuffer: 'FALSE',
  maxNumberOfWebWorkers: 3,
  defaultDataSourceName: 'dicomweb',
  whiteLabeling: {
    createLogoComponentFn: React =>
      React.createElement(
        'div',
        { style: { display: 'flex', alignItems: 'baseline', gap: '8px', whiteSpace: 'nowrap' } },
        React.createElement('span', { style: { color: '#fff', fontWeight: 600, fontSize: '17px' } }, 'TAVR keypoints'),
        React.createElement('span', { style: { color: '#7f9ab5', fontSize: '12px' } }, 'MONAI Label · OHIF')
      ),
  },
  dataSources: [
    {
      namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
      sourceName: 'dicomweb',
      configuration: {
        friendlyName: 'Studies folder',
        name: 'studies',
        wadoUriRoot: '/dicomweb',
        qidoRoot: '/dicomweb',
        wadoRoot: '/dicomweb',
        qidoSupportsIncludeField: true,
        supportsReject: false,
        supportsFuzzyMatching: true,
        supportsWildcard: true,
        imageRendering: 'wadors',
        thumbnailRendering: 'thumbnail',
        enableStudyLazyLoad: true,
        dicomUploadEnabled: false,
        omitQuotationForMultipartRequest: true,
        bulkDataURI: { enabled: false },
      },
    },
  ],
};
